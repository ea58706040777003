"""Arithmetic in Z_{2^l} on numpy carriers: uint32 for l <= 32, uint64 above.

Carriers wrap modulo 2^32 or 2^64, of which 2^l is a divisor: sums, differences and products are right modulo 2^l
whatever stands above bit l. Only reading a value (truncation, comparison, decoding) reduces it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import ConfigError

RingArray = NDArray[Any]
"""A C-contiguous array of carrier dtype."""


class Ring:
    """Z_{2^l}: the carrier dtype and the few operations that must know l."""

    def __init__(self, bits: int):
        """``bits`` is l, 8..64."""
        if not 8 <= bits <= 64:
            raise ConfigError(f"ring_bits: expected 8..64, found {bits}")
        self.bits = bits
        self.dtype: np.dtype[Any] = np.dtype(np.uint32 if bits <= 32 else np.uint64)
        self._mask = self.dtype.type((1 << bits) - 1)

    @property
    def itemsize(self) -> int:
        """Carrier bytes an element, in memory and on the wire."""
        return self.dtype.itemsize

    def element(self, value: int) -> Any:
        """``value`` modulo 2^l as a carrier scalar."""
        return self.dtype.type(value % (1 << self.bits))

    def reduce(self, x: RingArray) -> RingArray:
        """Representatives in [0, 2^l)."""
        if self.bits == 8 * self.itemsize:
            return x
        low: RingArray = x & self._mask
        return low

    def from_signed(self, x: NDArray[np.int64]) -> RingArray:
        """Signed integers to the ring."""
        carried: RingArray = x.astype(np.uint64).astype(self.dtype)
        return carried

    def to_signed(self, x: RingArray) -> NDArray[np.int64]:
        """Representatives in [-2^(l-1), 2^(l-1)) as int64."""
        up = np.uint64(64 - self.bits)
        signed: NDArray[np.int64] = (x.astype(np.uint64) << up).astype(np.int64) >> np.int64(64 - self.bits)
        return signed


def wire(x: NDArray[Any]) -> memoryview:
    """The little-endian bytes of an array, without a copy if it is contiguous."""
    return np.ascontiguousarray(x).data.cast("B")
