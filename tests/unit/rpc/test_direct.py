"""Streams over real gRPC whose small messages change no thread, and those of a grpcio that is not known well enough."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from streams import in_thread

from pi_system.errors import PeerUnavailableError, PiError
from pi_system.rpc import direct, frames
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.frames import FRAME_BYTES, FrameStream
from pi_system.rpc.outbox import DIRECT_BYTES
from pi_system.rpc.transport import dial

SIZES = (0, 1, 500, DIRECT_BYTES, DIRECT_BYTES + 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES)


@pytest.fixture(params=["direct", "public"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "public":
        monkeypatch.setattr(direct, "TESTED", ())
    return request.param


@contextmanager
def joined(serve: Callable[..., Any]) -> Iterator[tuple[GrpcChannel, GrpcChannel]]:
    """Both ends of a stream: client, server."""
    taken: list[FrameStream] = []
    opened = threading.Event()

    def take(stream: FrameStream) -> None:
        taken.append(stream)
        opened.set()

    address = serve({"Session": take})
    connection = dial(address, "Session", connect_timeout_s=5.0, timeout_s=20.0, peer="server")
    opened.wait(5.0)
    yield GrpcChannel(connection.stream), GrpcChannel(taken[0])
    connection.abort(PiError("the test is over"))


def test_the_installed_grpcio_is_one_whose_insides_are_known() -> None:
    """After an update: run the tests of rpc, faults and integration with it in TESTED, then keep it there."""
    assert direct.is_tested()
    assert not direct.is_tested("2.0.0")


def test_small_messages_and_what_comes_need_no_other_thread(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled: list[bytes] = []

    def outgoing(stream: FrameStream) -> Iterator[bytes]:
        for frame in stream._outbox.frames():
            pulled.append(frame)
            yield frame

    monkeypatch.setattr(FrameStream, "outgoing", outgoing)
    before = set(threading.enumerate())
    with joined(serve) as (client, server):
        for number in range(20):
            client.send(bytes([number]) * 100)
            assert bytes(server.recv(100)) == bytes([number]) * 100
            server.send(b"answer")
            assert bytes(client.recv(6)) == b"answer"
        assert all(thread.name != "frame-reader" for thread in set(threading.enumerate()) - before)
    assert pulled[0] == bytes([frames.OPEN])
    assert len(pulled) < 20  # one that is written before the last has ended is pulled, which two threads may come to


def test_messages_of_all_sizes_keep_their_order(serve: Callable[..., Any], way: str) -> None:
    sizes = [SIZES[index] for index in np.random.default_rng(3).permutation(5 * len(SIZES)) % len(SIZES)]
    messages = [bytes([number]) * size for number, size in enumerate(sizes)]

    def party(end: GrpcChannel) -> None:
        for message in messages:
            end.send(message)
        for message in messages:
            assert bytes(end.recv(len(message))) == message

    with joined(serve) as ends, ThreadPoolExecutor(2) as pool:
        list(pool.map(party, ends, timeout=60))


def test_more_than_an_inbox_holds_waits_until_it_is_read(
    serve: Callable[..., Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "QUEUE_BYTES", FRAME_BYTES)
    size = 12 * FRAME_BYTES
    with joined(serve) as ends:
        for end in ends:
            end.send(bytes(size))
        for end in ends:
            assert end.recv(size).nbytes == size
        for end in ends:
            assert end._stream._inbox._held_bytes == 0


def test_a_closed_direction_ends_after_what_was_sent(serve: Callable[..., Any], way: str) -> None:
    with joined(serve) as (client, server):
        client.send(b"last")
        client.close()
        assert bytes(server.recv(4)) == b"last"
        with pytest.raises(PeerUnavailableError, match="closed"):
            server.recv(1)
        server.send(b"still here")
        server.close()
        assert bytes(client.recv(10)) == b"still here"
        with pytest.raises(PeerUnavailableError, match="closed"):
            client.recv(1)


def test_an_error_arrives_after_what_was_sent_before_it(serve: Callable[..., Any], way: str) -> None:
    def body(stream: FrameStream) -> None:
        GrpcChannel(stream).send(b"first")
        raise PeerUnavailableError("why")

    connection = dial(serve({"Session": in_thread(body)}), "Session", connect_timeout_s=5.0, timeout_s=5.0, peer="it")
    assert bytes(connection.stream.read_data(5)) == b"first"
    with pytest.raises(PeerUnavailableError, match="why"):
        connection.stream.read_data(1)
    connection.abort(PiError("the test is over"))
