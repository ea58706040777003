"""Bits of many elements as planes, and the signed arithmetic of a share's truncation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.packing import Bytes


def as_plane(bits: NDArray[Any]) -> Bytes:
    """(n,) bits to (n + 7) / 8 bytes."""
    return np.packbits(bits.astype(np.uint8), bitorder="little")


def as_bits(plane: Bytes, count: int) -> Bytes:
    """The first ``count`` bits of a plane as 0 and 1."""
    return np.unpackbits(plane, count=count, bitorder="little")


def sign_bits(share: NDArray[Any], ring_bits: int) -> NDArray[Any]:
    """The top bit of elements of Z_{2^l}, 0 or 1, in their carrier."""
    one = share.dtype.type(1)
    top: NDArray[Any] = (share >> share.dtype.type(ring_bits - 1)) & one
    return top


def shifted_down(share: NDArray[Any], ring_bits: int, shift: int) -> NDArray[Any]:
    """floor(x / 2^shift) of signed elements of Z_{2^l}, back in the carrier."""
    up = 8 * share.dtype.itemsize - ring_bits
    signed = (share << share.dtype.type(up)).view(np.dtype(f"i{share.dtype.itemsize}"))
    down: NDArray[Any] = (signed >> signed.dtype.type(up + shift)).view(share.dtype)
    return down


def where_bit(condition: Bytes, one: NDArray[Any], zero: NDArray[Any]) -> NDArray[Any]:
    """Per element ``one`` where the bit is set, else ``zero``, without a branch."""
    mask = (0 - condition.astype(one.dtype)).astype(one.dtype)
    chosen: NDArray[Any] = zero ^ ((zero ^ one) & mask)
    return chosen


def negated_where(condition: Bytes, x: NDArray[Any]) -> NDArray[Any]:
    """Per element -x where the bit is set, else x, without a branch."""
    mask = (0 - condition.astype(x.dtype)).astype(x.dtype)
    signed: NDArray[Any] = (x ^ mask) - mask
    return signed
