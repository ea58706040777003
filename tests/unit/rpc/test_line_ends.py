"""Who gets a session's line, who does not, and that a session needs none."""

import errno
import queue
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import in_thread, served
from tiny_artifact import tiny_artifact

from pi_system._proto.v1.control_pb2 import Ready
from pi_system.errors import PiError, RemoteProtocolError
from pi_system.rpc import client_session, line_ends, server_session
from pi_system.rpc.channel import as_it_is
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.keys import AUTHORITY, issue_client, write_keys
from pi_system.rpc.line import Line
from pi_system.rpc.line_ends import TOKEN_BYTES, LineEnd, LineOffer, dial_line, offer_line
from pi_system.rpc.server_session import SessionHost, serve_session
from pi_system.rpc.session_config import SESSION_METHOD, SessionConfig
from pi_system.rpc.tls import Identity
from pi_system.rpc.tls_socket import dialling, listening
from pi_system.rpc.transport import dial

ARTIFACT = tiny_artifact(ring_bits=59)
PICTURE = np.full((1, 1, 2, 2), 0.25, np.float32)
WAIT_S = 20.0


def wait_for(found: Any, wanted: bool = True) -> Any:
    until_s = time.monotonic() + WAIT_S
    while bool(value := found()) != wanted and time.monotonic() < until_s:
        time.sleep(0.01)
    assert bool(value) == wanted
    return value


@pytest.fixture(params=["plaintext", "tls"])
def identities(request: Any, link_keys: Path) -> Any:
    """The server's and the client's."""
    if request.param == "plaintext":
        return None, None
    return Identity.load(link_keys / "server"), Identity.load(link_keys / "client")


@pytest.fixture
def offered(identities: Any, serve: Any) -> Iterator[Any]:
    """The server's offer to a client, and the client's stream."""
    streams: queue.SimpleQueue[Any] = queue.SimpleQueue()
    address = serve({"Session": streams.put}, identity=identities[0])
    connection = dial(
        address, "Session", connect_timeout_s=WAIT_S, timeout_s=WAIT_S, peer="server", identity=identities[1]
    )
    offer = offer_line(streams.get(timeout=WAIT_S), "127.0.0.1", identities[0], as_it_is)
    assert offer is not None
    yield offer, connection.stream
    offer.end.close()
    connection.abort(PiError("the test is over"))


@pytest.fixture
def call() -> Iterator[Any]:
    """Dials an offer; closes what came of it after the test."""
    ends = []

    def dialled(offer: LineOffer, stream: Any, identity: Any, token: bytes | None = None, port: int = 0) -> LineEnd:
        end = dial_line(stream, "127.0.0.1", port or offer.port, token or offer.token, identity, as_it_is)
        ends.append(end)
        return end

    yield dialled
    for end in ends:
        end.close()


def assert_crosses(offer: LineOffer, end: LineEnd) -> None:
    server, client = wait_for(offer.end.idle), wait_for(end.idle)
    client.send(b"ping")
    assert bytes(server.recv(4)) == b"ping"
    server.send(b"pong")
    assert bytes(client.recv(4)) == b"pong"
    assert offer.end.idle() is server


def assert_nobody_listens(offer: LineOffer) -> None:
    def refused() -> bool:
        with socket.socket() as caller:  # whom the listener's last moment meets is reset, not refused
            caller.settimeout(1.0)
            return caller.connect_ex(("127.0.0.1", offer.port)) == errno.ECONNREFUSED

    wait_for(refused)


def test_the_sessions_client_gets_the_line_and_the_port_is_closed(offered: Any, call: Any, identities: Any) -> None:
    offer, stream = offered
    end = call(offer, stream, identities[1])
    assert_crosses(offer, end)
    assert_nobody_listens(offer)
    if identities[0]:
        assert end._line._end.version() == "TLSv1.3"
    end.close()
    wait_for(offer.end.idle, False)


def test_who_has_another_token_is_sent_away(offered: Any, call: Any, identities: Any) -> None:
    offer, stream = offered
    for token in (bytes(TOKEN_BYTES), offer.token[:-1], b"\xff" * 100):
        other = call(offer, stream, identities[1], token)
        time.sleep(0.3)
        assert other.idle() is None
        assert offer.end.idle() is None
    assert_crosses(offer, call(offer, stream, identities[1]))


def test_who_says_nothing_keeps_the_client_out_for_a_moment(
    offered: Any, call: Any, identities: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_ends, "_CALLER_S", 0.3)
    offer, stream = offered
    with socket.create_connection(("127.0.0.1", offer.port)):
        assert_crosses(offer, call(offer, stream, identities[1]))


def test_nothing_but_the_line_is_taken_from_who_goes_away(offered: Any, call: Any, identities: Any) -> None:
    offer, stream = offered
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", offer.port)) as caller:
            caller.sendall(said)
    assert_crosses(offer, call(offer, stream, identities[1]))


def test_a_dead_stream_takes_its_line_along(offered: Any, call: Any, identities: Any) -> None:
    offer, stream = offered
    end = call(offer, stream, identities[1])
    assert_crosses(offer, end)
    offer.end._stream.fail(PiError("the test is over"))
    wait_for(offer.end.idle, False)
    wait_for(end.idle, False)


def test_a_closed_end_keeps_nothing(offered: Any, call: Any, identities: Any) -> None:
    offer, stream = offered
    offer.end.close()
    end = call(offer, stream, identities[1])
    wait_for(lambda: offer.end._line is None and end.idle() is None)
    assert_nobody_listens(offer)


@pytest.fixture(scope="module")
def other_client(link_keys: Path) -> Identity:
    """Another certificate of the same authority and role."""
    folder = link_keys.parent / "other-client"
    issue_client(link_keys / AUTHORITY, "other", folder)
    return Identity.load(folder)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of another authority that gives the same names."""
    folder = tmp_path_factory.mktemp("stranger")
    write_keys(folder)
    return lambda role: Identity.load(folder / role)


@pytest.mark.parametrize("identities", ["tls"], indirect=True)
@pytest.mark.parametrize("who", ["another client", "stranger", "nobody", "dealer"])
def test_a_token_without_the_sessions_certificate_is_worth_nothing(
    offered: Any, call: Any, identities: Any, link_keys: Path, other_client: Any, stranger: Any, who: str
) -> None:
    offer, stream = offered
    identity = {
        "another client": other_client,
        "stranger": stranger("client"),
        "nobody": None,
        "dealer": Identity.load(link_keys / "dealer"),
    }[who]
    other = call(offer, stream, identity)
    time.sleep(0.5)
    assert other.idle() is None
    assert offer.end.idle() is None
    assert_crosses(offer, call(offer, stream, identities[1]))


@pytest.mark.parametrize("identities", ["tls"], indirect=True)
@pytest.mark.parametrize("role", ["client", "dealer", "stranger"])
def test_a_client_talks_to_the_server_alone(
    offered: Any, call: Any, identities: Any, link_keys: Path, stranger: Any, role: str
) -> None:
    """Whoever sits at the port that a server named: without its certificate it learns no token."""
    offer, stream = offered
    context = listening(stranger("server") if role == "stranger" else Identity.load(link_keys / role))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = call(offer, stream, identities[1], port=listener.getsockname()[1])
        caller, _ = listener.accept()
        with closing(caller), pytest.raises(ssl.SSLError):
            context.wrap_socket(caller, server_side=True).recv(1)
    assert end.idle() is None


@pytest.mark.parametrize("identities", ["tls"], indirect=True)
def test_older_tls_is_refused(offered: Any, link_keys: Path) -> None:
    context = dialling(Identity.load(link_keys / "client"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", offered[0].port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="pi-server")


def test_a_link_that_is_slow_itself_gets_no_line(
    offered: Any, call: Any, identities: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, stream = offered
    monkeypatch.setattr(line_ends, "round_trip_s", lambda end: 0.04)
    end = call(offer, stream, identities[1])
    end._thread.join(WAIT_S)
    assert end.idle() is None
    monkeypatch.undo()
    assert_crosses(offer, call(offer, stream, identities[1]))


def test_the_round_trip_of_a_link_is_the_kernels() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as end,
    ):
        info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        rtt_us = struct.unpack_from("@8B24I", info)[8 + 15]  # after 8 bytes the sixteenth of linux/tcp.h
        assert 0 < rtt_us < 5_000_000
        assert line_ends.round_trip_s(end) == pytest.approx(1e-6 * rtt_us)


def test_a_port_is_open_for_a_moment(offered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_ends, "OFFERED_S", 0.2)
    offer = offer_line(offered[1], "127.0.0.1", None, as_it_is)
    assert offer is not None
    time.sleep(0.3)
    assert_nobody_listens(offer)


def test_no_line_is_offered_where_none_can_be_had(offered: Any, identities: Any, monkeypatch: Any) -> None:
    assert offer_line(offered[1], "192.0.2.1", identities[0], as_it_is) is None  # no address of this machine
    monkeypatch.setattr(line_ends, "CAN_LOAD", False)
    assert (offer_line(offered[1], "127.0.0.1", identities[0], as_it_is) is None) == (identities[0] is not None)


@pytest.fixture
def sessions(identities: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens gmw sessions with a server in this process."""

    def open_session(line_host: str = "127.0.0.1", line: bool = True) -> ClientSession:
        endpoint = Endpoint(
            server=address, dealer=None, store_dir=tmp_path, timeout_s=WAIT_S, identity=identities[1], line=line
        )
        hosts.append(line_host)
        return ClientSession(endpoint, SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16)))

    def serve_one(stream: Any) -> None:
        host = SessionHost(
            artifact=ARTIFACT,
            store_dir=tmp_path,
            dealer=None,
            allowed=("gmw",),
            reveal="logits",
            identity=identities[0],
            line_host=hosts[-1],
        )
        serve_session(stream, host)

    hosts: list[str] = []
    with served({SESSION_METHOD: in_thread(serve_one)}, timeout_s=WAIT_S, identity=identities[0]) as address:
        yield open_session


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of what goes over lines of this process."""
    sizes: list[int] = []
    send = Line.send

    def noted(line: Line, data: Any) -> None:
        sizes.append(memoryview(data).nbytes)
        send(line, data)

    monkeypatch.setattr(Line, "send", noted)
    return sizes


def test_an_online_phase_takes_the_line_with_the_same_result_and_payload(sessions: Any, sent: list[int]) -> None:
    with sessions() as session:
        session.prepare(2)
        wait_for(session._line.idle)
        logits, line = session.infer(PICTURE)
        assert sum(sent) == line.client_to_server_bytes + line.server_to_client_bytes
        del sent[:]
        session._line.close()
        again, stream = session.infer(PICTURE)
    assert sent == []
    np.testing.assert_allclose(logits, again, atol=1e-3)
    assert (line.rounds, line.client_to_server_bytes, line.server_to_client_bytes) == (
        stream.rounds,
        stream.client_to_server_bytes,
        stream.server_to_client_bytes,
    )
    assert line.frame_bytes < stream.frame_bytes


@pytest.mark.parametrize("changes", [{"line": False}, {"line_host": ""}])
def test_a_session_needs_no_line(sessions: Any, sent: list[int], changes: dict[str, Any]) -> None:
    with sessions(**changes) as session:
        assert session._line is None
        session.prepare(1)
        session.infer(PICTURE)
    assert sent == []


def test_what_sends_much_at_once_takes_the_stream(sessions: Any, sent: list[int], monkeypatch: Any) -> None:
    with sessions() as session:
        session.prepare(2)
        wait_for(session._line.idle)
        burst = session._runtime.burst_bytes
        for limit, takes in ((burst - 1, False), (burst, True)):
            monkeypatch.setattr(client_session, "LINE_BYTES", limit)
            session.infer(PICTURE)
            assert bool(sent) == takes


def test_the_server_may_have_lost_its_end(sessions: Any, sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    with sessions() as session:
        session.prepare(1)
        found = wait_for(session._line.idle)
        idle = LineEnd.idle
        monkeypatch.setattr(LineEnd, "idle", lambda end: idle(end) if end is session._line else None)
        session.infer(PICTURE)
        assert sent == []
        assert session._line.idle() is found


def test_a_line_that_was_not_asked_for_is_refused(sessions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with sessions() as session:
        session.prepare(1)
        monkeypatch.setattr(session, "_idle_line", lambda count: None)
        monkeypatch.setattr(server_session, "Ready", lambda line: Ready(line=True))
        with pytest.raises(RemoteProtocolError, match="found a line that was not asked for"):
            session.infer(PICTURE)
