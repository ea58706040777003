"""Two FrameStreams joined in memory, as gRPC would join them: each one's output is the other's input."""

from collections.abc import Iterator

from pi_system.errors import PeerUnavailableError, PiError
from pi_system.rpc.frames import FrameStream

__all__ = ["stream_pair"]


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
