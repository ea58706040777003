"""What each party receives is uniform and does not depend on the picture (or, for the client, on the weights).

Two worlds with very different secrets are run many times; in each, every byte a party receives must look uniform,
and the two worlds must look alike. Thresholds make a false alarm rarer than one run in a million.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_artifact import with_compare_bits
from parties import BACKENDS, infer, make_parties, prepare
from recording import Recorder
from scaled_artifact import relu_artifact
from scipy import stats

from pi_system.artifact import Artifact

PICTURES = {"fss": 48, "fss, few bits": 48, "gmw": 40, "gc": 40, "table, few bits": 24}
ALARM = 1e-8
VIEWS = {
    "fss": ("offline server", "online server", "offline client from dealer", "online client"),
    "fss, few bits": ("offline server", "online server", "online client"),
    "gmw": ("online server", "online client"),
    "gc": ("online server", "online client"),
    "table, few bits": ("online server", "online client"),
}
"""Ciphertexts, curve points and OT messages of the other offline phases are not uniform byte by byte by design."""


def test_every_backend_is_looked_at() -> None:
    assert {name.partition(", ")[0] for name in VIEWS} == set(BACKENDS)


def _views(backend: str, artifact: Artifact, pictures: Any, store: Path) -> Any:
    """All bytes that server and client receive, but for the last message (the result)."""
    server, client = make_parties(backend, artifact, store)
    offline, online = Recorder(), Recorder()
    prepare(server, client, len(pictures), wrap=offline)
    infer(server, client, pictures, wrap=online)
    online["client"].pop()
    every = {f"{phase} {role}": log[role] for phase, log in (("offline", offline), ("online", online)) for role in log}
    keep = {name: b"".join(m for m in received if len(m) >= 64) for name, received in every.items()}
    return {name: np.frombuffer(messages, np.uint8) for name, messages in keep.items()}


def _uniform(view: Any) -> Any:
    return stats.chisquare(np.bincount(view, minlength=256)).pvalue


@pytest.fixture(scope="module", params=VIEWS)
def worlds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    count, shape = PICTURES[request.param], relu_artifact(weight_scale=1.0).public.graph.input.shape
    dark = np.full((count, *shape), -2.0, np.float32)
    varied = np.random.default_rng(5).uniform(-2, 2, (count, *shape)).astype(np.float32)
    backend, _, few_bits = request.param.partition(", ")

    def artifact(scale: float) -> Artifact:
        return with_compare_bits(relu_artifact(weight_scale=scale), 8 if few_bits else 64)

    views = [
        _views(backend, artifact(scale), pictures, tmp_path_factory.mktemp("store"))
        for scale, pictures in ((0.1, dark), (1.0, varied))
    ]
    return request.param, views


def test_received_bytes_are_uniform_and_alike_in_both_worlds(worlds: Any) -> None:
    backend, views = worlds
    for name in VIEWS[backend]:
        fixed, varied = (world[name] for world in views)
        assert min(len(fixed), len(varied)) > 20_000, name
        assert _uniform(fixed) > ALARM, name
        assert _uniform(varied) > ALARM, name
        table = np.stack([np.bincount(fixed, minlength=256), np.bincount(varied, minlength=256)])
        assert stats.chi2_contingency(table).pvalue > ALARM, name


def test_the_test_would_notice_a_missing_mask(worlds: Any) -> None:
    _, views = worlds
    leaking = np.concatenate([views[0]["online server"], np.zeros(1000, np.uint8)])
    assert _uniform(leaking) < ALARM
