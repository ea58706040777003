"""How one party's half of a protocol says what it sends and what it waits for: halves do no IO, their driver does.

A half is a generator. It yields ``Send`` or ``Receive``, is resumed with the message that arrived after ``Receive`` and
with nothing after ``Send``, and returns what its party keeps. So the order of the messages is the order of its lines, a
protocol used by another is inlined by ``yield from``, and every size is known before a byte is read. Drivers:
pi_system/channel/drive.py over a channel; tests step two halves against each other.

Halves of several gates share their round trips (``abreast``) if they say where one ends: by ``BARRIER``, which a half
that runs alone passes. What the server sends between two barriers the client receives between the same two; what the
client sends there, the server receives after the next. So all halves' messages have one order at both ends.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import InvariantError, RemoteProtocolError

T = TypeVar("T")
S = TypeVar("S", "Send", "Receive")

Readable = bytes | bytearray | memoryview
"""What may be sent: any C-contiguous byte buffer, which nobody changes afterwards."""


@dataclass(frozen=True, slots=True)
class Send:
    """``data`` leaves for the peer, as one message."""

    data: Readable


@dataclass(frozen=True, slots=True)
class Receive:
    """Nothing goes on before the peer's next message, of ``nbytes`` bytes, is there."""

    nbytes: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """What stands beside this half goes first; see the head of this module."""


BARRIER: Final = Barrier()

Half = Generator[Send | Receive | Barrier, memoryview, T]
"""A half that returns a T."""


def receive(nbytes: int) -> Half[memoryview]:
    """The peer's next message. Raises RemoteProtocolError for one of another size."""
    message = yield Receive(nbytes)
    if message.nbytes != nbytes:
        raise RemoteProtocolError(f"expected a message of {nbytes} bytes, found {message.nbytes}")
    return message


def receive_array(shape: tuple[int, ...], dtype: type) -> Half[NDArray[Any]]:
    """The peer's next message as an array, an aligned copy. Raises RemoteProtocolError for one of another size."""
    message = yield from receive(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(message, dtype).reshape(shape).copy()


def in_turn(halves: Iterable[Half[T]]) -> Half[list[T]]:
    """Halves one after the other; what each returned."""
    results = []
    for half in halves:
        results.append((yield from half))
    return results


def abreast(halves: Sequence[Half[T]]) -> Half[list[T]]:
    """Halves one after the other from barrier to barrier; what each returned.

    The peer must do the same with its halves in the same order. They take as many round trips as the longest of them.
    """
    results: dict[int, T] = {}
    left = dict(enumerate(halves))
    while left:
        for number, half in list(left.items()):
            try:
                step = next(half)
                while not isinstance(step, Barrier):
                    message = yield step
                    step = next(half) if isinstance(step, Send) else half.send(message)
            except StopIteration as end:
                results[number] = end.value
                del left[number]
    return [results[number] for number in range(len(halves))]


def together(halves: Sequence[Half[T]]) -> Half[list[T]]:
    """Halves side by side, each of which sends and receives in turn: one message of all of them each way a round.

    The peer must do the same with its halves in the same order. Raises InvariantError for a half that does not.
    """
    results: dict[int, T] = {}
    steps: dict[int, Send | Receive | Barrier] = {}

    def advance(number: int, message: memoryview | None) -> None:
        try:
            steps[number] = next(halves[number]) if message is None else halves[number].send(message)
        except StopIteration as end:
            del steps[number]
            results[number] = end.value

    for number in range(len(halves)):
        steps[number] = Send(b"")
        advance(number, None)
    while steps:
        yield Send(b"".join(_as(Send, step).data for step in steps.values()))
        for number in list(steps):
            advance(number, None)
        sizes = {number: _as(Receive, step).nbytes for number, step in steps.items()}
        message, at = (yield from receive(sum(sizes.values()))), 0
        for number, size in sizes.items():
            advance(number, message[at : at + size])
            at += size
    return [results[number] for number in range(len(halves))]


def _as(kind: type[S], step: Send | Receive | Barrier) -> S:
    if not isinstance(step, kind):
        raise InvariantError(f"halves side by side: expected {kind.__name__}, found {type(step).__name__}")
    return step
