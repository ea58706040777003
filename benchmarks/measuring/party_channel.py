"""Our channel between two processes that have no session: what is measured there is a protocol or the channel alone."""

import queue
from collections.abc import Callable
from pathlib import Path

from pi_system.channel.base import Channel
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import dial

_TIMEOUT_S = 3600.0
_CONNECT_S = 60.0


def connect(role: str, address: str, method: str, keys: Path | None = None) -> tuple[GrpcChannel, Callable[[], None]]:
    """The channel to the other party, not shaped, and what to call in the end; the server listens, the client dials.

    ``method`` is what the stream is called; ``keys``: folder of ``write_keys``, None for plaintext.
    """
    identity = Identity.load(keys / role) if keys else None
    if role == "client":
        link = dial(
            address, method, connect_timeout_s=_CONNECT_S, timeout_s=_TIMEOUT_S, peer="server", identity=identity
        )
        return GrpcChannel(link.stream), link.close
    streams: queue.Queue[FrameStream] = queue.Queue()
    take: Callable[[FrameStream], None] = streams.put
    listener, _ = serve_streams(address, {method: take}, {}, timeout_s=_TIMEOUT_S, max_streams=1, identity=identity)
    stream = streams.get(timeout=_CONNECT_S)

    def end() -> None:
        stream.close()
        listener.stop(1).wait()

    return GrpcChannel(stream), end


def traffic(channel: Channel) -> tuple[int, int, int]:
    """Bytes sent, bytes received and rounds so far."""
    return channel.counters.sent_bytes, channel.counters.received_bytes, channel.counters.rounds
