"""Where the time of a phase goes: what is sent, received and waited for, booked to the layer at work.

A ``Profiler`` belongs to one party and one phase. It is carried by the channel it watches: a walk asks
``profiler_of(channel)`` and says ``enter(layer)`` as it goes. On a channel that nobody watches that is ``OFF``, whose
methods do nothing, so a run without a profile sends the same bytes and computes the same.

Every moment between the profiler's making and ``stop`` is booked once, to one layer and one track:

    wait      blocked in ``recv``, less what is transfer
    transfer  inside ``send``; and of a ``recv``, the time its message takes at an imitated link's rate, as far as it
              was blocked that long. A real link's rate is unknown: there the bytes' time on the line is part of wait.
    compute   the rest: kernels, copies, Python

Receiving overlaps with computing (a thread takes frames in), so a message that came in time costs next to no wait.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pi_system.channel.base import Channel, ChannelCounters
from pi_system.channel.link import LINKS, Link
from pi_system.channel.shaped import ShapedChannel
from pi_system.protocols.half import Readable
from pi_system.ring.carrier import RingArray

Track = Literal["compute", "wait", "transfer"]
TRACKS: Final[tuple[Track, ...]] = ("compute", "wait", "transfer")

MAX_PIECES: Final = 1 << 16
"""Pieces kept apart. Beyond, time and bytes are added to the last piece of their layer and track: sums stay exact, the
drawing gets coarse. Larger: memory, and a trace that viewers choke on. Smaller: large batches are drawn coarse."""


@dataclass(slots=True, kw_only=True)
class Piece:
    """One stretch of one party's time; grows until the profiler stops.

    Attributes:
        layer: name of the graph's node, or of a step that has none (``output``, ``label``, ``setup``, ...).
        kind: the node's operation, else the layer's name.
        track: what the time went into.
        start_ns: monotonic clock of the machine that keeps it.
        duration_ns: at least 0.
        sent_bytes: payload.
        received_bytes: payload.
        rounds: as ChannelCounters counts them.
    """

    layer: str
    kind: str
    track: Track
    start_ns: int
    duration_ns: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    rounds: int = 0


class Held(Protocol):
    """A party's share of a value, (N, C, ...); ``ready`` says that reading it computes nothing."""

    @property
    def ready(self) -> bool:
        """All of it is there."""

    def full(self) -> RingArray:
        """The whole."""


class LayerWatch:
    """What a walk sees of a profiler; this one does nothing."""

    on: bool = False

    def enter(self, step: str) -> str:
        """From now on ``step`` is at work (``LAYER`` or ``LAYER/PART``); returns the layer that was before."""
        return ""

    def holds(self, step: str, share: Held) -> None:
        """This party now has its share of the layer's value. Profiles do not look at it; see ``pi_system/demo``."""

    def watch(self, channel: Channel) -> Channel:
        """``channel``, booked to the layer at work."""
        return channel

    def stop(self) -> tuple[Piece, ...]:
        """End and return the pieces in the order they were begun."""
        return ()


OFF: Final = LayerWatch()


class ChannelWatch(LayerWatch):
    """One that every message goes through."""

    def watch(self, channel: Channel) -> "WatchedChannel":
        """See LayerWatch; counters stay those of ``channel``."""
        return WatchedChannel(channel, self)

    def send(self, channel: Channel, data: Readable) -> None:
        """Send through ``channel``."""
        channel.send(data)

    def recv(self, channel: Channel, nbytes: int) -> memoryview:
        """Receive through ``channel``."""
        return channel.recv(nbytes)


class Profiler(ChannelWatch):
    """Books one party's time in one phase; used by one thread."""

    on = True

    def __init__(self, link: Link, first: str, kinds: Mapping[str, str]):
        """Start now, in the layer ``first``.

        Args:
            link: that the watched channels imitate.
            first: layer at work at the start.
            kinds: operation by layer; a layer without is its own kind.
        """
        self._link, self._layer, self._kinds = link, first, kinds
        self._pieces: list[Piece] = []
        self._last: dict[tuple[str, Track], Piece] = {}
        self._since_ns = time.monotonic_ns()

    def enter(self, step: str) -> str:
        """See LayerWatch."""
        self._compute()
        before, self._layer = self._layer, step.partition("/")[0]
        return before

    def stop(self) -> tuple[Piece, ...]:
        """See LayerWatch."""
        self._compute()
        return tuple(self._pieces)

    def send(self, channel: Channel, data: Readable) -> None:
        """Send through ``channel`` and book it."""
        self._compute()
        channel.send(data)
        self._book("transfer", time.monotonic_ns(), sent_bytes=memoryview(data).nbytes)

    def recv(self, channel: Channel, nbytes: int) -> memoryview:
        """Receive through ``channel`` and book it."""
        begin_ns, rounds = self._compute(), channel.counters.rounds
        message = channel.recv(nbytes)
        end_ns = time.monotonic_ns()
        on_link_ns = min(end_ns - begin_ns, round(1e9 * self._link.transfer_s(nbytes)))
        rounds = channel.counters.rounds - rounds
        self._book("wait", end_ns - on_link_ns, received_bytes=nbytes, rounds=rounds)
        self._book("transfer", end_ns)
        return message

    def _compute(self) -> int:
        """Book what passed since the last booking as computing; returns now."""
        now_ns = time.monotonic_ns()
        self._book("compute", now_ns)
        return now_ns

    def _book(
        self, track: Track, end_ns: int, *, sent_bytes: int = 0, received_bytes: int = 0, rounds: int = 0
    ) -> None:
        start_ns, self._since_ns = self._since_ns, end_ns
        if end_ns == start_ns and not (sent_bytes or received_bytes or rounds):
            return
        key = self._layer, track
        last = self._last.get(key)
        if last is None or len(self._pieces) < MAX_PIECES:
            kind = self._kinds.get(self._layer, self._layer)
            last = self._last[key] = Piece(layer=self._layer, kind=kind, track=track, start_ns=start_ns)
            self._pieces.append(last)
        last.duration_ns += end_ns - start_ns
        last.sent_bytes += sent_bytes
        last.received_bytes += received_bytes
        last.rounds += rounds


class WatchedChannel:
    """A Channel whose messages go through a watch."""

    def __init__(self, inner: Channel, watch: ChannelWatch):
        """Made by ``ChannelWatch.watch``."""
        self.watch = watch
        self._inner = inner

    @property
    def counters(self) -> ChannelCounters:
        """Those of ``inner``."""
        return self._inner.counters

    @counters.setter
    def counters(self, fresh: ChannelCounters) -> None:
        self._inner.counters = fresh

    def send(self, data: Readable) -> None:
        """See Channel."""
        self.watch.send(self._inner, data)

    def recv(self, nbytes: int) -> memoryview:
        """See Channel."""
        return self.watch.recv(self._inner, nbytes)

    def close(self) -> None:
        """See Channel."""
        self._inner.close()


def link_of(channel: Channel) -> Link:
    """The link that ``channel`` imitates."""
    return channel.link if isinstance(channel, ShapedChannel) else LINKS["loopback"]


def profiler_of(channel: Channel) -> LayerWatch:
    """The profiler that watches ``channel``, or ``OFF``."""
    return channel.watch if isinstance(channel, WatchedChannel) else OFF
