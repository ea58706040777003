"""The phases of a gate online: one table of states for the gates of all protocols.

    server   load, then in every exchange: send, work, receive
    client   in every exchange: reply

Chunks are begun in order, whole blocks but the last; each goes through its party's steps in this order, and the steps
of different chunks may mix. A step that is not the chunk's next is a LocalProtocolError. One that the chunk has behind
it is a CorrelationReusedError: the same masks would hide a second value, and two values under one mask tell their
difference. A message of a wrong size is a RemoteProtocolError and changes nothing. All of it is checked here, a chunk
at a time; a protocol's own steps (ServerSteps, ClientSteps) are called in order and check nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from pi_system.errors import CorrelationReusedError, LocalProtocolError, PiError, RemoteProtocolError
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring, RingArray

MessageBytes = Callable[[int, int], int]
"""(exchange, count): size of a message about ``count`` elements."""


class ServerSteps(ABC):
    """What a protocol does at party 0; sizes and order are checked before."""

    def __init__(self, spec: GateSpec):
        """No share is loaded yet."""
        self._spec = spec
        self._shares: dict[int, RingArray] = {}
        self._out: RingArray = np.empty(spec.count, Ring(spec.ring_bits).dtype)

    def load(self, first: int, share: RingArray) -> None:
        """See ServerGate."""
        self._shares[first] = share

    @abstractmethod
    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """See ServerGate."""

    def work(self, exchange: int, first: int, count: int) -> None:  # noqa: B027
        """See ServerGate; nothing, unless a protocol has something left to do while the client works."""

    @abstractmethod
    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """See ServerGate."""

    def result(self) -> RingArray:
        """See ServerGate."""
        return self._out


class ClientSteps(Protocol):
    """What a protocol does at party 1."""

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """See ClientGate."""


class ServerGate:
    """Party 0 of one gate with its offline material inside; one use.

    Attributes:
        round_trips: exchanges.
        reply_bytes: size of the client's replies.
    """

    def __init__(self, spec: GateSpec, steps: ServerSteps, round_trips: int, reply_bytes: MessageBytes):
        """``steps``: the protocol's."""
        self.round_trips, self.reply_bytes = round_trips, reply_bytes
        self._steps, self._chunks = steps, _Chunks(spec, ("send", "work", "receive"), round_trips)

    def load(self, first: int, share: RingArray) -> None:
        """Begin the chunk [first, first + len) with the server's share y_0 of it."""
        self._chunks.begin(first, len(share))
        self._steps.load(first, np.ascontiguousarray(share))

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """The server's message of an exchange for a chunk."""
        self._chunks.advance("send", exchange, first, count)
        return self._steps.send(exchange, first, count)

    def work(self, exchange: int, first: int, count: int) -> None:
        """Local work on a chunk after its message has left, while the client works on it; often nothing."""
        self._chunks.advance("work", exchange, first, count)
        self._steps.work(exchange, first, count)

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Take the client's reply. Raises RemoteProtocolError."""
        _check_size(reply, self.reply_bytes(exchange, count))
        self._chunks.advance("receive", exchange, first, count)
        self._steps.receive(exchange, first, count, reply)

    def result(self) -> RingArray:
        """D of all elements (n,), after the last exchange."""
        self._chunks.check_finished()
        return self._steps.result()


class ClientGate:
    """Party 1 of one gate with its offline material inside; one use.

    Attributes:
        round_trips: exchanges.
        message_bytes: size of the server's messages.
    """

    def __init__(self, spec: GateSpec, steps: ClientSteps, round_trips: int, message_bytes: MessageBytes):
        """``steps``: the protocol's."""
        self.round_trips, self.message_bytes = round_trips, message_bytes
        self._steps, self._chunks = steps, _Chunks(spec, ("reply",), round_trips)

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Answer the server's message; the first exchange begins the chunk. Raises RemoteProtocolError."""
        _check_size(message, self.message_bytes(exchange, count))
        if exchange == 0:
            self._chunks.begin(first, count)
        self._chunks.advance("reply", exchange, first, count)
        return self._steps.reply(exchange, first, count, message)


class _Chunks:
    """The table: which steps every chunk of one gate has behind it."""

    def __init__(self, spec: GateSpec, steps: tuple[str, ...], round_trips: int):
        self._spec = spec
        self._steps = [(step, exchange) for exchange in range(round_trips) for step in steps]
        self._begun = self._finished = 0
        self._behind: dict[tuple[int, int], int] = {}

    def begin(self, first: int, count: int) -> None:
        """A new chunk."""
        spec, end = self._spec, first + count
        if 0 <= first < self._begun:
            raise CorrelationReusedError(f"gate: expected elements from {self._begun} on, found {first} again")
        if first != self._begun or not first < end <= spec.count or (end % spec.block and end < spec.count):
            raise LocalProtocolError(
                f"gate: expected whole blocks of {spec.block} from {self._begun} on and up to {spec.count}, "
                f"found {count} elements from {first}"
            )
        self._begun = end
        self._behind[first, count] = 0

    def advance(self, step: str, exchange: int, first: int, count: int) -> None:
        """A chunk's next step."""
        at = self._behind.get((first, count))
        if at is None:
            raise LocalProtocolError(f"gate: expected a chunk that was begun, found {count} elements from {first}")
        if at == len(self._steps) or self._steps[at] != (step, exchange):
            raise self._out_of_turn(step, exchange, at)
        self._behind[first, count] = at + 1
        if at + 1 == len(self._steps):
            self._finished += count

    def _out_of_turn(self, step: str, exchange: int, at: int) -> PiError:
        if (step, exchange) in self._steps[:at]:
            return CorrelationReusedError(f"gate: expected {step} once in exchange {exchange}, found it again")
        return LocalProtocolError(f"gate: expected {self._steps[at : at + 1]}, found {step} in exchange {exchange}")

    def check_finished(self) -> None:
        """All chunks have every step behind them."""
        if self._finished != self._spec.count:
            raise LocalProtocolError("gate: expected every chunk finished before its result is read")


def _check_size(message: memoryview, expected: int) -> None:
    if message.nbytes != expected:
        raise RemoteProtocolError(f"gate: expected a message of {expected} bytes, found {message.nbytes}")
