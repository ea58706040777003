"""Real processes over real gRPC, with a backend that has no cryptography: what a session is, whatever the backend."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from processes import toy_dealer, toy_server
from tiny_artifact import tiny_artifact
from toy_backend import ONLINE_ROUNDS

from pi_system.artifact import load_public, save
from pi_system.channel.shaped import parse_link, shape
from pi_system.cli.service import describe
from pi_system.errors import (
    ArtifactDigestError,
    BusyError,
    ConfigError,
    CorrelationExhaustedError,
    DealerUnavailableError,
    PeerUnavailableError,
)
from pi_system.rpc.client_session import ClientSession, Endpoint
from pi_system.rpc.session_config import SessionConfig
from pi_system.rpc.transport import unary

PICTURE = np.full((1, 1, 2, 2), 0.25, np.float32)
CONFIG = SessionConfig(backend="toy", artifact_digest="", client_id=bytes(16))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "artifact"
    save(tiny_artifact(), folder)
    return folder


@pytest.fixture(scope="module")
def dealer():
    with toy_dealer() as (_, address):
        yield address


@pytest.fixture(scope="module")
def server(artifact, dealer):
    with toy_server(artifact, dealer) as running:
        yield running


def endpoint(running, dealer, **changes):
    fields = {
        "server": running[1],
        "dealer": dealer,
        "store_dir": Path("unused"),
        "timeout_s": 20.0,
        "backends": {"toy": "toy_backend"},
    }
    return Endpoint(**(fields | changes))


def test_client_without_artifact_gets_the_public_model_and_a_prediction(server, dealer, artifact):
    with ClientSession(endpoint(server, dealer), CONFIG) as session:
        assert session.public.public == load_public(artifact).public
        assert session.config.artifact_digest == load_public(artifact).public.digest
        offline = session.prepare(2)
        logits, online = session.infer(PICTURE)
    assert logits.tolist() == [[0.25, 1.0]]
    assert online.rounds == ONLINE_ROUNDS
    assert online.client_to_server_bytes == 16 + (ONLINE_ROUNDS - 1) * PICTURE.nbytes
    assert online.server_to_client_bytes == 1 + (ONLINE_ROUNDS - 1) * 16
    assert online.online_ms > 0
    # 64 bytes of request come back from the dealer to each of two parties, for each of two inferences
    assert (offline.count, offline.offline_bytes) == (2, 2 * 2 * 64)


@pytest.mark.parametrize("link", ["lan", "1000,1"])
def test_shaped_session_counts_the_same_payload(server, dealer, link):
    wrapped = endpoint(server, dealer, wrap=partial(shape, link=parse_link(link)))
    with ClientSession(wrapped, CONFIG) as session:
        session.prepare(1)
        logits, online = session.infer(PICTURE)
    assert logits.tolist() == [[0.25, 1.0]]
    assert online.rounds == ONLINE_ROUNDS
    assert online.client_to_server_bytes == 16 + (ONLINE_ROUNDS - 1) * PICTURE.nbytes


def test_large_messages_cross_in_one_piece(server, dealer):
    pictures = np.random.default_rng(0).random((1, 1, 1024, 700), np.float32)  # 2.9 MB, three frames
    with ClientSession(endpoint(server, dealer), CONFIG) as session:
        session.prepare(1)
        logits, _ = session.infer(pictures)
    assert logits[0, 0] == pictures.mean(dtype=np.float32)


def test_sessions_at_once_are_isolated(server, dealer):
    def classify(value: float) -> float:
        config = SessionConfig(backend="toy", artifact_digest="", client_id=os.urandom(16))
        with ClientSession(endpoint(server, dealer, busy_timeout_s=30.0), config) as session:
            session.prepare(3)
            results = [session.infer(np.full((1, 1, 2, 2), value, np.float32))[0][0, 0] for _ in range(3)]
        assert len(set(results)) == 1
        return results[0]

    values = [0.25, 0.5, 0.75, 3.0, 4.0, 5.0]
    with ThreadPoolExecutor(len(values)) as pool:
        assert list(pool.map(classify, values)) == values


def test_infer_without_material_leaves_the_session_usable(server, dealer):
    with ClientSession(endpoint(server, dealer), CONFIG) as session:
        with pytest.raises(CorrelationExhaustedError):
            session.infer(PICTURE)
        session.prepare(1)
        assert session.infer(PICTURE)[0][0, 0] == 0.25


def test_describe_takes_no_worker(server, dealer, artifact):
    digest = load_public(artifact).public.digest
    for _ in range(3):
        found = describe(server[1], "server", 5.0)
        assert (found.role, found.artifact_digest) == ("server", digest)
        assert list(found.backends) == ["toy", "insecure-ideal"]
    assert describe(dealer, "dealer", 5.0).role == "dealer"


def test_other_digest_is_refused_on_both_sides(server, dealer):
    start = len(server[0].log)
    config = SessionConfig(backend="toy", artifact_digest="0" * 64, client_id=bytes(16))
    with pytest.raises(ArtifactDigestError, match="server holds"):
        ClientSession(endpoint(server, dealer), config)
    server[0].wait_log("ArtifactDigestError", start=start)


@pytest.mark.parametrize("change", [{"backend": "other"}, {"insecure_provider": True}])
def test_configuration_the_server_does_not_offer_is_refused(server, dealer, change):
    config = SessionConfig(**({"backend": "toy", "artifact_digest": "", "client_id": bytes(16)} | change))
    with pytest.raises(ConfigError):
        ClientSession(endpoint(server, dealer, backends={"toy": "toy_backend", "other": "toy_backend"}), config)


def test_unreachable_server_and_dealer(server, dealer):
    with pytest.raises(PeerUnavailableError, match="nothing answered"):
        ClientSession(endpoint(server, dealer, server="127.0.0.1:9", connect_timeout_s=0.3), CONFIG)
    session = ClientSession(endpoint(server, "127.0.0.1:9", connect_timeout_s=1.0), CONFIG)
    with pytest.raises(DealerUnavailableError):
        session.prepare(1)
    with pytest.raises(PeerUnavailableError):
        unary("127.0.0.1:9", "Describe", b"", timeout_s=0.3, peer="server")


def test_no_more_than_max_sessions_then_served_again(artifact, dealer):
    with toy_server(artifact, dealer, max_sessions=1) as server:
        with ClientSession(endpoint(server, dealer), CONFIG) as session:
            session.prepare(1)
            with pytest.raises(BusyError) as caught:
                ClientSession(endpoint(server, dealer, busy_timeout_s=0.1), CONFIG)
            assert 0 < caught.value.retry_s <= 5
            assert len(caught.value.ticket) == 32
            assert session.infer(PICTURE)[0][0, 0] == 0.25
        with ClientSession(endpoint(server, dealer), CONFIG) as session:
            assert session.available() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_supervisor_and_workers(artifact, dealer, number):
    with toy_server(artifact, dealer) as server:
        session = ClientSession(endpoint(server, dealer), CONFIG)
        server[0].popen.send_signal(number)
        assert server[0].popen.wait(10) == 0
        with pytest.raises(PeerUnavailableError):
            session.prepare(1)
    with pytest.raises(PeerUnavailableError):
        describe(server[1], "server", 0.3)
