"""Real processes over real gRPC, with a backend that has no cryptography: what a session is, whatever the backend."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import toy_server
from toy_backend import ONLINE_ROUNDS
from toy_sessions import CONFIG, PICTURE, Toy

from pi_system.artifact import load_public
from pi_system.channel.link import parse_link
from pi_system.channel.shaped import shape
from pi_system.cli.service import describe
from pi_system.errors import (
    ArtifactDigestError,
    BusyError,
    ConfigError,
    CorrelationExhaustedError,
    DealerUnavailableError,
    PeerUnavailableError,
    PiError,
)
from pi_system.rpc.session_config import SESSION_METHOD
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import dial, unary


def test_client_without_artifact_gets_the_public_model_and_a_prediction(toy: Toy) -> None:
    with toy.session() as session:
        assert session.public.public == load_public(toy.model).public
        assert session.config.artifact_digest == load_public(toy.model).public.digest
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
def test_shaped_session_counts_the_same_payload(toy: Toy, link: str) -> None:
    with toy.session(wrap=partial(shape, link=parse_link(link))) as session:
        session.prepare(1)
        logits, online = session.infer(PICTURE)
    assert logits.tolist() == [[0.25, 1.0]]
    assert online.rounds == ONLINE_ROUNDS
    assert online.client_to_server_bytes == 16 + (ONLINE_ROUNDS - 1) * PICTURE.nbytes


def test_large_messages_cross_in_one_piece(toy: Toy) -> None:
    pictures = np.random.default_rng(0).random((1, 1, 1024, 700), np.float32)  # 2.9 MB, three frames
    with toy.session() as session:
        session.prepare(1)
        logits, _ = session.infer(pictures)
    assert logits[0, 0] == pictures.mean(dtype=np.float32)


def test_sessions_at_once_are_isolated(toy: Toy) -> None:
    def classify(value: float) -> Any:
        config = replace(CONFIG, client_id=os.urandom(16))
        with toy.session(config, busy_timeout_s=30.0) as session:
            session.prepare(3)
            results = [session.infer(np.full((1, 1, 2, 2), value, np.float32))[0][0, 0] for _ in range(3)]
        assert len(set(results)) == 1
        return results[0]

    values = [0.25, 0.5, 0.75, 3.0, 4.0, 5.0]
    with ThreadPoolExecutor(len(values)) as pool:
        assert list(pool.map(classify, values)) == values


def test_infer_without_material_leaves_the_session_usable(toy: Toy) -> None:
    with toy.session() as session:
        with pytest.raises(CorrelationExhaustedError):
            session.infer(PICTURE)
        session.prepare(1)
        assert session.infer(PICTURE)[0][0, 0] == 0.25


def test_describe_takes_no_worker(toy: Toy) -> None:
    digest = load_public(toy.model).public.digest
    for _ in range(3):
        found = describe(toy.server[1], "server", 5.0)
        assert (found.role, found.artifact_digest) == ("server", digest)
        assert list(found.backends) == ["toy", "insecure-ideal"]
    assert describe(toy.dealer[1], "dealer", 5.0).role == "dealer"


def test_other_digest_is_refused_on_both_sides(toy: Toy) -> None:
    start = len(toy.server[0].log)
    with pytest.raises(ArtifactDigestError, match="server holds"):
        toy.session(replace(CONFIG, artifact_digest="0" * 64))
    toy.server[0].wait_log("ArtifactDigestError", start=start)


@pytest.mark.parametrize("change", [{"backend": "other"}, {"insecure_provider": True}])
def test_configuration_the_server_does_not_offer_is_refused(toy: Toy, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        toy.session(replace(CONFIG, **change), backends={"toy": "toy_backend", "other": "toy_backend"})


def test_unreachable_server_and_dealer(toy: Toy) -> None:
    with pytest.raises(PeerUnavailableError, match="nothing answered"):
        toy.session(server="127.0.0.1:9", connect_timeout_s=0.3)
    session = toy.session(dealer="127.0.0.1:9", connect_timeout_s=1.0)
    with pytest.raises(DealerUnavailableError):
        session.prepare(1)
    with pytest.raises(PeerUnavailableError):
        unary("127.0.0.1:9", "Describe", b"", timeout_s=0.3, peer="server")


def test_no_more_than_max_sessions_then_served_again(toy: Toy) -> None:
    with toy_server(toy.model, toy.dealer[1], max_sessions=1) as server:
        toy = replace(toy, server=server)
        with toy.session() as session:
            session.prepare(1)
            with pytest.raises(BusyError) as caught:
                toy.session(busy_timeout_s=0.1)
            assert 0 < caught.value.retry_s <= 5
            assert len(caught.value.ticket) == 32
            assert session.infer(PICTURE)[0][0, 0] == 0.25
        with toy.session() as session:
            assert session.available() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_supervisor_and_workers(toy: Toy, number: signal.Signals) -> None:
    with toy_server(toy.model, toy.dealer[1]) as server:
        session = replace(toy, server=server).session()
        server[0].popen.send_signal(number)
        assert server[0].popen.wait(10) == 0
        with pytest.raises(PeerUnavailableError):
            session.prepare(1)
    with pytest.raises(PeerUnavailableError):
        describe(server[1], "server", 0.3)


@pytest.fixture(scope="module")
def tls_server(toy: Toy, link_keys: Path) -> Iterator[Any]:
    with toy_server(toy.model, "127.0.0.1:1", keys=link_keys / "server") as (_, listening):
        yield listening


def connect(address: str, keys: Any) -> Any:
    return dial(
        address, SESSION_METHOD, connect_timeout_s=20.0, timeout_s=10.0, peer="server", identity=Identity.load(keys)
    )


@pytest.mark.parametrize("role", ["server", "dealer"])
def test_another_role_gets_no_session(tls_server: str, link_keys: Path, role: str) -> None:
    with pytest.raises(ConfigError, match=f"expected one of the client, found one of the {role}"):
        connect(tls_server, link_keys / role).stream.read_control()


def test_a_client_gets_one(tls_server: str, link_keys: Path) -> None:
    connection = connect(tls_server, link_keys / "client")
    connection.abort(PiError("the test is over"))
