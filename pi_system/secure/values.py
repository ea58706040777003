"""Values of a walk: there, or computed by ranges of channels as they are asked for.

A layer that is computed while a gate draws its input lets the server send the first chunk before the layer is done.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.profile import LayerWatch
from pi_system.ring.carrier import RingArray

_CHANNEL_STEP = 16
"""Output channels a convolution call computes without waste."""


class Value(Protocol):
    """One role's share of a value, (N, C, ...).

    Attributes:
        shape: of the whole.
        ready: all of it is there: reading computes nothing.
    """

    shape: tuple[int, ...]
    ready: bool

    def channels(self, first: int, last: int) -> RingArray:
        """Channels [first, last)."""

    def full(self) -> RingArray:
        """The whole."""


class Computed:
    """A value that is there."""

    ready = True

    def __init__(self, array: RingArray):
        """``array``: the whole."""
        self.shape: tuple[int, ...] = array.shape
        self._array = array

    def channels(self, first: int, last: int) -> RingArray:
        """See Value."""
        return self._array[:, first:last]

    def full(self) -> RingArray:
        """See Value."""
        return self._array


class LazyValue(ABC):
    """A value that is computed when it is asked for, anew each time."""

    ready = False

    def __init__(self, shape: tuple[int, ...]):
        """``shape``: of the whole."""
        self.shape = shape

    @abstractmethod
    def channels(self, first: int, last: int) -> RingArray:
        """See Value."""

    def full(self) -> RingArray:
        """See Value."""
        return self.channels(0, self.shape[1])


class Kept(LazyValue):
    """A value that keeps what was asked for: a gate reads some of it, then a walk the whole."""

    def __init__(self, value: Value):
        """``value``: each of its channels is asked for once."""
        super().__init__(value.shape)
        self._value, self._filled = value, 0
        self._out: RingArray | None = None

    def channels(self, first: int, last: int) -> RingArray:
        """Channels [first, last), and those before them, computed unless they are."""
        if self._out is None or last > self._filled:
            part = self._value.channels(self._filled, last)
            if self._out is None:
                self._out = np.empty(self.shape, part.dtype)
            self._out[:, self._filled : last] = part
            self._filled = last
        return self._out[:, first:last]


class Watched(LazyValue):
    """A value whose computing is booked to its own node, not to the gate that asks for it."""

    def __init__(self, value: Value, name: str, watch: LayerWatch):
        """``name`` of the node."""
        super().__init__(value.shape)
        self._value, self._name, self._watch = value, name, watch

    def channels(self, first: int, last: int) -> RingArray:
        """See Value."""
        before = self._watch.enter(self._name)
        part = self._value.channels(first, last)
        self._watch.enter(before)
        return part


class _Sum(LazyValue):
    def __init__(self, terms: tuple[tuple[Value, int], ...]):
        super().__init__(terms[0][0].shape)
        self._terms = terms

    def channels(self, first: int, last: int) -> RingArray:
        left, right = (scaled(value.channels(first, last), shift) for value, shift in self._terms)
        total: RingArray = left + right
        return total


def added(a: Value, shift_a: int, b: Value, shift_b: int) -> Value:
    """A 2^shift_a + b 2^shift_b; computed when it is asked for if a term is."""
    total = _Sum(((a, shift_a), (b, shift_b)))
    return Computed(total.full()) if a.ready and b.ready else total


def scaled(x: RingArray, shift: int) -> RingArray:
    """The value ``x 2^shift``."""
    return x if shift == 0 else x << x.dtype.type(shift)


class GateInput:
    """The elements of a value at some positions, in order; only the channels that are needed so far are computed."""

    def __init__(self, source: Value, positions: NDArray[np.int64] | None, count: int):
        """``positions``: of the ``count`` elements in a picture's flat value; None: all."""
        self._source, self._positions = source, positions
        self._ends = _ends(source.shape, positions)
        self._flat: RingArray | None = None
        self._count = count
        self._channel = self._filled = 0

    def upto(self, first: int, length: int) -> RingArray:
        """(N, length): elements [first, first + length) of every picture."""
        while self._filled < first + length:
            self._advance(first + length)
        if self._flat is None:
            raise ValueError(f"chunk: expected at least one element, found {length}")
        return self._flat[:, first : first + length]

    def _advance(self, target: int) -> None:
        wanted = int(np.searchsorted(self._ends, target)) + 1
        wanted = min(-(-wanted // _CHANNEL_STEP) * _CHANNEL_STEP, len(self._ends))
        part = self._source.channels(self._channel, wanted)
        part = part.reshape(part.shape[0], -1)
        if self._positions is not None:
            size = part.shape[1] // (wanted - self._channel)
            end = int(self._ends[wanted - 1])
            part = part[:, self._positions[self._filled : end] - self._channel * size]
        if self._flat is None:
            self._flat = np.empty((part.shape[0], self._count), part.dtype)
        self._flat[:, self._filled : self._filled + part.shape[1]] = part
        self._channel, self._filled = wanted, self._filled + part.shape[1]


def _ends(shape: tuple[int, ...], positions: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """For each channel, how many of the elements it and those before it hold."""
    size = prod(shape[2:])
    ends = np.arange(1, shape[1] + 1, dtype=np.int64) * size
    return ends if positions is None else np.searchsorted(positions, ends).astype(np.int64)
