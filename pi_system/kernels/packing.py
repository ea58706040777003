"""Values of b bits as a bit string: value i is bits i * b .. i * b + b - 1, least significant first."""

import numpy as np
import numpy.typing as npt

import pi_system.kernels._native as _native

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes that ``count`` values of ``bits`` bits take; the last byte is filled with zeros."""
    return (count * bits + 7) // 8


def pack_bits(values: npt.NDArray[np.uint32] | npt.NDArray[np.uint64], bits: int, out: Bytes) -> None:
    """Pack the low ``bits`` bits (1 to 64) of each value; higher bits are ignored.

    Args:
        values: contiguous, any shape, read in C order.
        bits: bits of a value.
        out: ``packed_bytes(values.size, bits)`` bytes.

    Raises:
        ValueError: ``out`` has another size, or ``bits`` is out of range.
        TypeError: an array of another dtype or layout.
    """
    _native.pack_bits(values, bits, out)


def unpack_bits(packed: npt.NDArray[np.uint8], bits: int, out: npt.NDArray[np.uint32] | npt.NDArray[np.uint64]) -> None:
    """Undo ``pack_bits`` into ``out``, whose size says how many values there are.

    Args:
        packed: ``packed_bytes(out.size, bits)`` bytes; bits after the last value are ignored.
        bits: bits of a value, at most the bits of an element of ``out``.
        out: contiguous, any shape, written in C order.

    Raises:
        ValueError: ``packed`` has another size, or ``bits`` is out of range.
        TypeError: an array of another dtype or layout.
    """
    _native.unpack_bits(packed, bits, out)
