"""How a gate's elements are cut into chunks and fed from a layer that is still being computed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.ring.carrier import RingArray

__all__ = ["Feeder", "chunks"]

CHUNK = 1 << 14
"""Elements a message. Smaller: more overlap of computing and sending, more messages (0.1 ms each in gRPC).
A multiple of every gate's block, so that chunked keys read aligned."""

_CHANNEL_STEP = 16
"""Output channels a convolution call computes without waste."""


def chunks(count: int) -> Iterator[tuple[int, int]]:
    """(first, length) of each chunk of ``count`` elements."""
    for first in range(0, count, CHUNK):
        yield first, min(CHUNK, count - first)


class Feeder:
    """Flat active elements of a value, in order, computing only the channels that are needed so far."""

    def __init__(self, source: Any, positions: NDArray[np.int64] | None, count: int):
        """``source``: (N, C, ...) array, or a lazy value with ``shape`` and ``channels(first, last)``."""
        self._source, self._positions = source, positions
        self._ends = _active_ends(source.shape, positions)
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
        part = self._slice(self._channel, wanted)
        part = part.reshape(part.shape[0], -1)
        if self._positions is not None:
            size = part.shape[1] // (wanted - self._channel)
            end = int(self._ends[wanted - 1])
            part = part[:, self._positions[self._filled : end] - self._channel * size]
        if self._flat is None:
            self._flat = np.empty((part.shape[0], self._count), part.dtype)
        self._flat[:, self._filled : self._filled + part.shape[1]] = part
        self._channel, self._filled = wanted, self._filled + part.shape[1]

    def _slice(self, first: int, last: int) -> RingArray:
        if isinstance(self._source, np.ndarray):
            return self._source[:, first:last]
        part: RingArray = self._source.channels(first, last)
        return part


def _active_ends(shape: tuple[int, ...], positions: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """For each channel, how many active elements it and those before it hold."""
    size = int(np.prod(shape[2:], dtype=np.int64))
    ends = np.arange(1, shape[1] + 1, dtype=np.int64) * size
    return ends if positions is None else np.searchsorted(positions, ends).astype(np.int64)
