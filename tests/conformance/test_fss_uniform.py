"""What each party receives is uniform and does not depend on the picture (or, for the client, on the weights).

Two worlds with very different secrets are run many times; in each, every byte a party receives must look uniform,
and the two worlds must look alike. Thresholds make a false alarm rarer than one run in a million.
"""

import numpy as np
import pytest
from parties import PAIRING, Dealer, run_parties
from recording import RecordingChannel
from scaled_artifact import relu_artifact
from scipy import stats

from pi_system.offline.dealer import deal
from pi_system.runtime.fss import FssClient, FssServer

PICTURES = 48
ALARM = 1e-8


def _views(artifact, pictures, store):
    """All bytes that server and client receive, offline and online, but for the last message (the result)."""
    server, client = FssServer(artifact, store, PAIRING), FssClient(artifact, store, PAIRING)
    dealer, logs = Dealer(deal, PICTURES), {}

    def record(name, link):
        logs[name] = RecordingChannel(link)
        return logs[name]

    run_parties(
        lambda channel: server.prepare(PICTURES, record("server offline", channel), dealer.server_link),
        lambda channel: client.prepare(
            PICTURES, channel, lambda request: record("client from dealer", dealer.client_link(request))
        ),
    )
    ids = client.reserve(PICTURES)
    server.reserve(ids)
    run_parties(
        lambda channel: server.infer(ids, record("server online", channel)),
        lambda channel: client.infer(pictures, ids, record("client online", channel)),
    )
    logs["client online"].received.pop()
    keep = {name: [m for m in log.received if len(m) >= 64] for name, log in logs.items()}
    return {name: np.frombuffer(b"".join(messages), np.uint8) for name, messages in keep.items()}


def _uniform(view):
    return stats.chisquare(np.bincount(view, minlength=256)).pvalue


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    shape = relu_artifact(weight_scale=1.0).public.graph.input.shape
    dark = np.full((PICTURES, *shape), -2.0, np.float32)
    varied = np.random.default_rng(5).uniform(-2, 2, (PICTURES, *shape)).astype(np.float32)
    return [
        _views(relu_artifact(weight_scale=scale), pictures, tmp_path_factory.mktemp("store"))
        for scale, pictures in ((0.1, dark), (1.0, varied))
    ]


@pytest.mark.parametrize("view", ["server offline", "server online", "client from dealer", "client online"])
def test_received_bytes_are_uniform_and_alike_in_both_worlds(worlds, view):
    fixed, varied = (world[view] for world in worlds)
    assert min(len(fixed), len(varied)) > 20_000
    assert _uniform(fixed) > ALARM
    assert _uniform(varied) > ALARM
    table = np.stack([np.bincount(fixed, minlength=256), np.bincount(varied, minlength=256)])
    assert stats.chi2_contingency(table).pvalue > ALARM


def test_the_test_would_notice_a_missing_mask(worlds):
    leaking = np.concatenate([worlds[0]["server online"], np.zeros(1000, np.uint8)])
    assert _uniform(leaking) < ALARM
