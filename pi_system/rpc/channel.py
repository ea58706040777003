"""The Channel of every protocol, over one gRPC stream; it counts payload bytes, framing bytes and rounds."""

from collections.abc import Callable

from pi_system.channel.base import Channel, ChannelCounters, TimedChannel
from pi_system.protocols.half import Readable
from pi_system.rpc.frames import DATA, FRAME_BYTES, TAG_BYTES, FrameStream


class GrpcChannel:
    """Data messages of a FrameStream as a Channel: ``send`` queues and returns, ``recv`` waits."""

    def __init__(self, stream: FrameStream, on_close: Callable[[], None] | None = None):
        """A channel on ``stream``, which carries control messages, too, outside of the protocols' phases.

        ``on_close`` replaces the half-close of ``close``, for a channel that owns its connection.
        """
        self.counters = ChannelCounters()
        self._stream = stream
        self._on_close = on_close or stream.close

    @property
    def arrivals(self) -> list[tuple[float, int]]:
        """When the frames of the last received message came in; see TimedChannel."""
        return self._stream.arrivals

    def send(self, data: Readable) -> None:
        """Queue one message; see Channel."""
        nbytes = memoryview(data).nbytes
        self._stream.write(data, DATA)
        self.counters.on_send(nbytes)
        self.counters.frame_bytes += frame_overhead(nbytes)

    def recv(self, nbytes: int) -> memoryview:
        """The next message; see Channel. A message of one frame is not copied."""
        message = self._stream.read_data(nbytes)
        self.counters.on_receive(nbytes)
        self.counters.frame_bytes += frame_overhead(nbytes)
        return message

    def close(self) -> None:
        """Send what is queued, then end this direction."""
        self._on_close()


Wrap = Callable[[TimedChannel], Channel]
"""What stands between a session's protocols and its channel: benchmarks imitate a link there, each side for itself."""


def as_it_is(channel: TimedChannel) -> Channel:
    """Nothing."""
    return channel


def frame_overhead(nbytes: int) -> int:
    """Framing bytes of a message: tag and gRPC's 5-byte prefix a frame (HTTP/2 and TCP headers come on top)."""
    frames = max(1, -(-nbytes // FRAME_BYTES))
    return frames * (TAG_BYTES + 5)
