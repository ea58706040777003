"""Kernels of the ReLU ``gmw``: tables at the leaves of the comparison, and the choice of an entry.

``widths`` are the bits of the leaves' chunks, most significant first, 1 to 4 each, together at least ``bits``, the
bits of the input below its sign. A leaf's message is one word an element: 2^m bits "choice < chunk", above them
(except at the least significant leaf) 2^m bits "choice == chunk"; one leaf's words lie together.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import pi_system.kernels._native as _native

__all__ = ["gmw_select", "gmw_tables", "gmw_word_bytes"]

Bytes = NDArray[np.uint8]


def gmw_word_bytes(widths: bytes, bits: int) -> int:
    """Message bytes an element, all leaves."""
    return int(_native.gmw_word_bytes(widths, bits))


def gmw_tables(widths: bytes, bits: int, share: NDArray[Any], pads: Bytes, first: int) -> Bytes:
    """The server's message for the elements ``share`` (n,), the first of which is element ``first`` of ``pads``.

    The sign of the share (bit ``bits``), inverted, is added to "less" of the top leaf.
    """
    word = gmw_word_bytes(widths, bits)
    out = np.empty(len(share) * word, np.uint8)
    _native.gmw_tables(widths, bits, share, pads, pads.size // word, first, out)
    return out


def gmw_select(widths: bytes, bits: int, words: Bytes, choices: Bytes, first: int, count: int) -> tuple[Bytes, Bytes]:
    """The chosen bits of a message for elements first .. first + count of ``choices`` (leaves, n).

    Returns:
        planes of "less", (leaves, (count + 7) / 8), and of "equal", one leaf fewer.
    """
    leaves, stride = choices.shape
    plane = (count + 7) // 8
    less, equal = np.empty((leaves, plane), np.uint8), np.empty((leaves - 1, plane), np.uint8)
    _native.gmw_select(
        widths, bits, words, choices.reshape(-1), stride, first, count, less.reshape(-1), equal.reshape(-1)
    )
    return less, equal
