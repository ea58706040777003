"""Every wait of a client for its peer ends with the first Ctrl-C, and is left in order."""

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from streams import stream_pair

from pi_system.errors import BusyError, PiError
from pi_system.interrupts import interruptible
from pi_system.rpc import endpoint as endpoint_module
from pi_system.rpc import transport as transport_module
from pi_system.rpc.byte_queue import ByteQueue
from pi_system.rpc.endpoint import Endpoint, enter
from pi_system.rpc.line import Line
from pi_system.rpc.session_config import Hello, SessionConfig
from pi_system.rpc.transport import dial, unary

LONG_S = 600.0
"""More than a test may take."""


@pytest.fixture
def silent() -> Iterator[str]:
    """Where connections are accepted, and nobody says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def stopped(wait: Callable[[], Any]) -> None:
    """A Ctrl-C in a moment ends ``wait``."""
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))

    @interruptible()
    def body() -> None:
        timer.start()
        wait()

    with pytest.raises(KeyboardInterrupt):
        body()


def test_for_a_message() -> None:
    queue: ByteQueue[int] = ByteQueue(1)
    stopped(lambda: queue.get(LONG_S))
    queue.put(1, 1, 0.0)
    assert queue.get(0.0) == 1


def test_for_room() -> None:
    queue: ByteQueue[int] = ByteQueue(1)
    queue.put(1, 2, 0.0)
    stopped(lambda: queue.put(2, 2, LONG_S))
    assert queue.get(0.0) == 1
    queue.put(3, 1, 0.0)
    assert queue.get(0.0) == 3


@pytest.mark.parametrize("mask", [select.POLLIN, select.POLLOUT])
def test_for_a_line(mask: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    stream, _ = stream_pair(LONG_S)
    line = Line(ours, stream)
    stopped(lambda: line.recv(1) if mask == select.POLLIN else line.send(bytes(1 << 24)))
    stream.fail(PiError("the test is over"))
    line.close()
    theirs.close()


def test_before_a_message_is_sent() -> None:
    left, right = stream_pair()

    def write() -> None:
        while True:
            left.write(b"x", 2)
            right.read_data(1)

    stopped(write)
    left.fail(PiError("the test is over"))


def test_for_a_stream_that_is_dialled(silent: str) -> None:
    stopped(lambda: dial(silent, "Session", connect_timeout_s=LONG_S, timeout_s=LONG_S, peer="server"))


def test_for_nobody_who_listens(silent: str) -> None:
    host, _, _ = silent.partition(":")
    with socket.socket() as bound:
        bound.bind((host, 0))
        nobody = f"{host}:{bound.getsockname()[1]}"
        stopped(lambda: dial(nobody, "Session", connect_timeout_s=LONG_S, timeout_s=LONG_S, peer="server"))
        stopped(lambda: unary(nobody, "Describe", b"", timeout_s=LONG_S, peer="server"))


def test_for_a_reply(serve: Callable[..., Any]) -> None:
    over = threading.Event()

    def answer(_request: Any) -> bytes:
        over.wait(LONG_S)
        return b""

    address = serve({}, {"Ask": answer})
    stopped(lambda: unary(address, "Ask", b"", timeout_s=LONG_S, peer="server"))
    over.set()


def test_for_a_reply_that_never_comes() -> None:
    """The server above ends a call that takes long."""
    stopped(lambda: transport_module._reply(SimpleNamespace(add_done_callback=lambda _: None)))


def test_for_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def busy(_endpoint: Any) -> Any:
        raise BusyError("no place", LONG_S, "")

    monkeypatch.setattr(endpoint_module, "_dialled", busy)
    asked = Endpoint(server="127.0.0.1:1", dealer=None, store_dir=tmp_path, busy_timeout_s=LONG_S)
    config = SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16))
    stopped(lambda: enter(asked, Hello(config=config, prepares=True, ticket="", request="", line=False)))
