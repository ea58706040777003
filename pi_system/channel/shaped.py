"""A link with limited rate and a delay, imitated inside the channel, for machines without ``tc netem``.

The receiver holds each frame back: it came in at some time over the real connection, its bytes then take the link for
size / rate, one frame after the other, and half a round trip later it is delivered. Nobody is slowed down but the
receiver, which sleeps; so computing overlaps with the imitated transfer as it would with a real one, and the real
connection's own cost stays in, as it would. Each end is told by
itself; both should use the same link. Bytes are those of IP packets of 1500
bytes, headers included. TCP's slow start and pacing are not imitated.
"""

import time
from typing import Final

from pi_system.channel.base import Channel, ChannelCounters, TimedChannel
from pi_system.channel.link import LINKS, Link
from pi_system.protocols.half import Readable

CHUNK_BYTES: Final = 1 << 20
"""Payload that is delayed as a whole: one frame of the gRPC channel."""
_SPIN_S: Final = 80e-6
"""A sleep ends up to this late; the rest is waited actively. Larger: CPU burnt; smaller: late wake-ups."""


def shape(inner: TimedChannel, link: Link) -> Channel:
    """``inner`` behind ``link``: itself where there is nothing to imitate."""
    return inner if link == LINKS["loopback"] else ShapedChannel(inner, link)


class ShapedChannel:
    """A Channel behind a Link.

    Attributes:
        link: it imitates.
    """

    def __init__(self, inner: TimedChannel, link: Link):
        """Send and receive through ``inner``."""
        self.counters = ChannelCounters()
        self._inner, self.link = inner, link
        self._free_at_s = 0.0

    def send(self, data: Readable) -> None:
        """See Channel. Returns at once, whatever the link's rate."""
        framing = self._inner.counters.frame_bytes
        self._inner.send(data)
        self.counters.on_send(memoryview(data).nbytes)
        self.counters.frame_bytes += self._inner.counters.frame_bytes - framing

    def recv(self, nbytes: int) -> memoryview:
        """The next message, once its last byte is due; see Channel."""
        framing = self._inner.counters.frame_bytes
        message = self._inner.recv(nbytes)
        for arrived_s, size in self._inner.arrivals:
            self._free_at_s = max(self._free_at_s, arrived_s) + self.link.transfer_s(size)
        _wait_until(self._free_at_s + self.link.rtt_s / 2)
        self.counters.on_receive(nbytes)
        self.counters.frame_bytes += self._inner.counters.frame_bytes - framing
        return message

    def close(self) -> None:
        """End the connection."""
        self._inner.close()


def _wait_until(due_s: float) -> None:
    left = due_s - time.monotonic()
    if left > _SPIN_S:
        time.sleep(left - _SPIN_S)
    while time.monotonic() < due_s:
        pass
