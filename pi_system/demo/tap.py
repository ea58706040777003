"""INSECURE, for the demo alone: a profiler that also keeps a party's shares and what it sends first.

A share of one party is worth nothing, both together are the value: whoever collects them sees everything. It rides on
the channel as every profiler does; a process that was not started to has none.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from pi_system.artifact.model import tensor_bytes
from pi_system.channel.base import Channel
from pi_system.channel.profile import ChannelWatch, Held
from pi_system.protocols.half import Readable
from pi_system.rpc.channel import GrpcChannel

_LAST: Final = "output"
"""The step of an online phase in which what is revealed is opened."""


@dataclass(slots=True)
class TapStep:
    """What a party did in one step since it last entered another.

    Attributes:
        name: of a layer, or of what has none (``rpc/phase_profile.py``).
        sent_bytes: payload.
        received_bytes: payload.
        rounds: as ChannelCounters counts them.
        ms: since the step was entered.
    """

    name: str
    sent_bytes: int = 0
    received_bytes: int = 0
    rounds: int = 0
    ms: float = 0.0


class ShareTap(ChannelWatch):
    """Watches one party's session. ``on`` stays false: what profiles change in a walk, it does not need.

    Attributes:
        shares: of every value that was there when its layer was done, by the layer's name, (N, C, ...).
        first: the first message that was sent since ``begin``; times count from there.
    """

    def __init__(self, on_step: Callable[[TapStep], None] = lambda step: None):
        """``on_step`` is called when a step is left that sent or received something."""
        self.shares: dict[str, NDArray[Any]] = {}
        self.first = b""
        self._on_step = on_step
        self._step, self._since_s = TapStep("setup"), time.perf_counter()

    def begin(self, step: str) -> None:
        """A phase starts, in ``step``."""
        self.enter(step)
        self.first = b""

    def enter(self, step: str) -> str:
        """See LayerWatch."""
        before, name = self._step.name, step.partition("/")[0]
        if name != before:
            self.leave()
            self._step, self._since_s = TapStep(name), time.perf_counter()
        return before

    def leave(self) -> None:
        """Tell of the step at work, which starts anew."""
        step, self._step = self._step, TapStep(self._step.name)
        step.ms = 1000 * (time.perf_counter() - self._since_s)
        self._since_s = time.perf_counter()
        if step.sent_bytes or step.received_bytes:
            self._on_step(step)

    def holds(self, step: str, share: Held) -> None:
        """Keep a copy; what would have to be computed for it is left out."""
        if share.ready:
            self.shares[step] = share.full().copy()

    def send(self, channel: Channel, data: Readable) -> None:
        """Send through ``channel``."""
        view = memoryview(data)
        if not self.first:
            self.first, self._since_s = bytes(view), time.perf_counter()
        self._step.sent_bytes += view.nbytes
        channel.send(data)

    def recv(self, channel: Channel, nbytes: int) -> memoryview:
        """Receive through ``channel``."""
        rounds = channel.counters.rounds
        message = channel.recv(nbytes)
        self._step.received_bytes += nbytes
        self._step.rounds += channel.counters.rounds - rounds
        return message


class ServerTap(ShareTap):
    """Writes the server's shares to a file at the end of every inference."""

    def __init__(self, file: Path):
        """``file``: safetensors, replaced by the next inference."""
        super().__init__()
        self._file = file

    def send(self, channel: Channel, data: Readable) -> None:
        """Send; after the last message of an inference, write."""
        super().send(channel, data)
        if self._step.name == _LAST:
            draft = self._file.with_suffix(".part")
            draft.write_bytes(tensor_bytes(self.shares))
            draft.rename(self._file)
            self.shares.clear()


def tapped(channel: GrpcChannel, file: Path) -> Channel:
    """What a server's end of a session goes through in the demo."""
    return ServerTap(file).watch(channel)
