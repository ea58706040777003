"""How one party's half of a protocol says what it sends and what it waits for: halves do no IO, their driver does.

A half is a generator. It yields ``Send`` or ``Receive``, is resumed with the message that arrived after ``Receive`` and
with nothing after ``Send``, and returns what its party keeps. So the order of the messages is the order of its lines, a
protocol used by another is inlined by ``yield from``, and every size is known before a byte is read. Drivers:
pi_system/channel/drive.py over a channel; tests step two halves against each other.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import RemoteProtocolError

T = TypeVar("T")

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


Half = Generator[Send | Receive, memoryview, T]
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
