"""A line between two ends in this process: messages, and everything that may go wrong with them."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from dialogue import check_dialogue
from streams import stream_pair

from pi_system.errors import ConfigError, PeerTimeoutError, PeerUnavailableError, PiError, RemoteProtocolError
from pi_system.rpc import line as line_module
from pi_system.rpc.line import Line
from pi_system.rpc.tls import Identity
from pi_system.rpc.tls_socket import dialling, listening, secured

SHORT_S = 0.3


def sockets() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for end in (server, client):
        end.setblocking(False)
    return server, client


def secured_sockets(folder: Any) -> tuple[socket.socket, socket.socket]:
    (server, client), until_s = sockets(), time.monotonic() + 20
    own, theirs = (Identity.load(folder / role) for role in ("server", "client"))
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(secured, server, listening(own), until_s)
        dialled = secured(client, dialling(theirs), until_s, "server")
        return taken.result(20), dialled


@pytest.fixture
def streams() -> Iterator[Any]:
    """Makes pairs of streams of a timeout, which are failed after the test."""
    made = []

    def make(timeout_s: float = 20.0) -> Any:
        made.append(stream_pair(timeout_s))
        return made[-1]

    yield make
    for pair in made:
        for end in pair:
            end.fail(PiError("the test is over"))


@pytest.fixture(params=["plaintext", "tls"])
def lines(request: Any, streams: Any, link_keys: Any) -> Iterator[Any]:
    """Makes pairs of lines, closed after the test."""
    made: list[Line] = []

    def make(timeout_s: float = 20.0) -> Any:
        ends = secured_sockets(link_keys) if request.param == "tls" else sockets()
        made.extend(Line(end, stream) for end, stream in zip(ends, streams(timeout_s), strict=True))
        return made[-2:]

    yield make
    for line in made:
        line.close()


@pytest.fixture
def half(streams: Any) -> Iterator[Any]:
    """A line and the bare socket of its peer."""
    ends, made = sockets(), list[Line]()

    def make(timeout_s: float = 20.0) -> Any:
        made.append(Line(ends[0], streams(timeout_s)[0]))
        ends[1].setblocking(True)
        return made[0], ends[1]

    yield make
    for end in ends:
        end.close()
    for line in made:
        line.close()


@pytest.mark.parametrize("size", [0, 1, 4000, 300_000, 3 << 20])
def test_messages_arrive_whole_aligned_and_in_order(lines: Any, size: int) -> None:
    left, right = lines()
    sent = [np.random.default_rng(number).integers(0, 256, size, np.uint8) for number in range(2)]
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: [left.send(one.data) for one in sent])
        found = [np.frombuffer(right.recv(size), np.uint8) for _ in sent]
        sending.result(20)
    for one, expected in zip(found, sent, strict=True):
        np.testing.assert_array_equal(one, expected)
        assert size == 0 or one.ctypes.data % 16 == 0
    assert right.arrivals[0][1] == size
    assert 0 <= time.monotonic() - right.arrivals[0][0] < 20


def test_counters_of_a_dialogue(lines: Any) -> None:
    left, right = lines()
    check_dialogue(left, right, overhead=4)


def test_both_sides_may_send_large_messages_before_they_receive(lines: Any) -> None:
    size, ends = 30 << 20, lines()  # far above what the kernel holds

    def party(end: Any) -> bytes:
        end.send(bytes(size))
        end.send(b"end")
        assert end.recv(size).nbytes == size
        return bytes(end.recv(3))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(party, ends, timeout=60)) == [b"end", b"end"]
    assert all(end.idle for end in ends)


def test_what_comes_while_it_writes_is_bounded(half: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "QUEUE_BYTES", 1 << 20)
    line, peer = half(1.0)

    def flood() -> None:
        try:
            for _ in range(1 << 10):
                peer.sendall(bytes(1 << 20))
        except OSError:
            pass

    flooding = threading.Thread(target=flood, daemon=True)
    flooding.start()
    with pytest.raises(PeerTimeoutError, match="expected the peer to read within"):
        line.send(bytes(100 << 20))
    assert len(line._early) < 2 << 20
    line.close()
    flooding.join(20)


@pytest.mark.parametrize("found", [0, 7, 9, (1 << 32) - 1])
def test_a_message_of_another_size_is_refused_before_its_bytes_come(half: Any, found: int) -> None:
    line, peer = half()
    peer.sendall(struct.pack("<I", found))
    with pytest.raises(RemoteProtocolError, match=f"expected 8 bytes of data, found {found}"):
        line.recv(8)
    assert line.counters.received_bytes == 0


def test_silence_is_a_timeout(lines: Any) -> None:
    with pytest.raises(PeerTimeoutError, match=f"within {SHORT_S} s, found the peer silent"):
        lines(SHORT_S)[0].recv(1)


def test_a_byte_now_and_then_is_a_timeout(half: Any) -> None:
    line, peer = half(SHORT_S)
    peer.sendall(struct.pack("<I", 1000))
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(SHORT_S / 5):
            peer.sendall(b"x")

    trickling = threading.Thread(target=trickle)
    trickling.start()
    try:
        with pytest.raises(PeerTimeoutError):
            line.recv(1000)
    finally:
        ended.set()
        trickling.join()


def test_a_peer_that_does_not_read_is_a_timeout(lines: Any) -> None:
    with pytest.raises(PeerTimeoutError, match="found it stuck"):
        lines(SHORT_S)[0].send(bytes(30 << 20))


@pytest.mark.parametrize("sent", [b"", b"\4\0", struct.pack("<I", 4) + b"ab"])
def test_an_end_without_a_reason_is_an_unavailable_peer(
    half: Any, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "_REASON_S", SHORT_S)
    line, peer = half()
    peer.sendall(sent)
    peer.close()
    with pytest.raises(PeerUnavailableError, match="closed the line"):
        line.recv(4)
    assert not line.idle


def test_a_reset_is_an_unavailable_peer(half: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "_REASON_S", SHORT_S)
    line, peer = half()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(PeerUnavailableError, match="closed the line"):
        line.send(bytes(30 << 20))


def test_the_reason_on_the_stream_may_come_after_the_end(half: Any) -> None:
    line, peer = half()
    peer.close()
    threading.Timer(SHORT_S, line._stream.fail, (ConfigError("the reason"),)).start()
    with pytest.raises(ConfigError, match="the reason"):
        line.recv(4)


@pytest.mark.parametrize("waits", ["recv", "send"])
def test_who_waits_gets_the_streams_error_at_once(lines: Any, waits: str) -> None:
    line, _ = lines(60.0)
    threading.Timer(SHORT_S, line._stream.fail, (ConfigError("the reason"),)).start()
    began_s = time.monotonic()
    with pytest.raises(ConfigError, match="the reason"):
        line.recv(1) if waits == "recv" else line.send(bytes(100 << 20))
    assert time.monotonic() - began_s < 20


def test_a_dead_stream_gets_no_line(streams: Any) -> None:
    stream = streams()[0]
    stream.fail(ConfigError("the reason"))
    ends = sockets()
    line = Line(ends[0], stream)
    assert not line.idle
    with pytest.raises(ConfigError, match="the reason"):
        line.recv(1)
    line.close()
    ends[1].close()


def test_a_line_is_idle_until_something_comes(half: Any) -> None:
    line, peer = half()
    assert line.idle
    peer.sendall(b"x")
    time.sleep(0.05)
    assert not line.idle


def test_a_closed_line_is_not_idle(lines: Any) -> None:
    left, right = lines()
    left.close()
    left.close()
    time.sleep(0.05)
    assert not left.idle
    assert not right.idle


def test_a_path_that_is_gone_is_noticed_as_soon_as_grpc_does(half: Any) -> None:
    end = half()[0]._end
    assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = {
        name: end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in ("TCP_KEEPIDLE", "TCP_KEEPCNT")
    }
    assert options["TCP_KEEPIDLE"] + options["TCP_KEEPCNT"] == 5
    assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
    assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
