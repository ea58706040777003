"""Both ends of a stream in this process: joined in memory as gRPC would join them, or over gRPC."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pi_system.errors import PeerUnavailableError, PiError
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.listen import serve_streams


def in_thread(body: Callable[[FrameStream], Any]) -> Callable[[FrameStream], None]:
    """Take each stream in a thread of its own; an error of ``body`` fails the stream."""

    def run(stream: FrameStream) -> None:
        try:
            body(stream)
        except PiError as error:
            with suppress(PiError):
                stream.fail(error)

    return lambda stream: threading.Thread(target=run, args=(stream,), daemon=True).start()


@contextmanager
def served(
    streams: Mapping[str, Any] | None = None, calls: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[str]:
    """A server in this process; yields its address."""
    chosen = {"timeout_s": 5.0, "max_streams": 32} | options
    server, port = serve_streams("127.0.0.1:0", dict(streams or {}), dict(calls or {}), **chosen)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def _translate(error: Exception) -> PiError:
    return error if isinstance(error, PiError) else PeerUnavailableError(str(error))


def stream_pair(timeout_s: float = 5.0) -> tuple[FrameStream, FrameStream]:
    left, right = FrameStream(timeout_s, "left's peer"), FrameStream(timeout_s, "right's peer")
    left.pump(_frames(right), _translate)
    right.pump(_frames(left), _translate)
    return left, right


def _frames(stream: FrameStream) -> Iterator[bytes]:
    try:
        yield from stream.outgoing()
    except PiError as error:  # what the peer would see of it: a status
        raise RuntimeError(str(error)) from error
