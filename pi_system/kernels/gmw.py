"""Kernels of the ReLU ``gmw``: the leaves of the comparison, and what is done with the value beside it.

``widths`` are the bits of the leaves' chunks, most significant first, 1 to 4 each, together at least ``bits``, the
bits of the input below its sign. A leaf's message is one word an element: 2^m bits "choice < chunk", above them
(except at the least significant leaf) 2^m bits "choice == chunk"; one leaf's words lie together.

The value's kernels take elements (n,) in the carrier of Z_{2^l}, corrections in the carrier of Z_{2^t}, t = ``shift``
> 0, and planes of (n + 7) / 8 bytes, one bit an element. Results are in the carrier; only ``gmw_result`` reduces them.
None branches on a bit. Arrays that do not fit are a ValueError.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import pi_system.kernels._native as _native
from pi_system.kernels.packing import Bytes

Elements = NDArray[Any]
Pair = tuple[Elements, ...]
"""Two arrays: for a bit that is 0, and for 1."""


def gmw_word_bytes(widths: bytes, bits: int) -> int:
    """Message bytes an element, all leaves."""
    return _native.gmw_word_bytes(widths, bits)


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


def gmw_mask(
    ring_bits: int, shift: int, share: Elements, carry: Bytes, mask: Elements, sign: Elements
) -> tuple[Elements, Elements]:
    """The server's masked value (floor(y / 2^t) ^ -c) - mask and correction sign + (1 - 2 c) [y < 0], y signed."""
    value, wrap = np.empty_like(share), np.empty_like(sign)
    _native.gmw_mask(ring_bits, shift, share, carry, mask, sign, value, wrap)
    return value, wrap


def gmw_open(
    ring_bits: int,
    shift: int,
    value: Elements,
    truncated: Elements,
    negative: Bytes,
    sign_word: Elements,
    correction: Elements,
) -> None:
    """The client adds to ``value`` truncated + (sign_word + negative correction) 2^(l - t)."""
    _native.gmw_open(ring_bits, shift, truncated, negative, sign_word, correction, value)


def gmw_replies(
    positive: Bytes, swapped: Bytes, carry: Bytes | None, value: Elements, unmask: Elements, replies: Pair
) -> Pair:
    """The client's reply for either value of the server's share of b, where V = value + carry.

    b V + (1 - 2 swapped) unmask + replies[0], and the same of 1 - b with replies[1]; b = ``positive``.
    """
    zero, one = np.empty_like(value), np.empty_like(value)
    _native.gmw_replies(positive, swapped, carry, value, unmask, replies[0], replies[1], zero, one)
    return zero, one


def gmw_result(
    ring_bits: int, choice: Bytes, swapped: Bytes, carry: Bytes | None, replies: Pair, own: Pair, out: Elements
) -> None:
    """The server's result mod 2^l into ``out``: replies[choice] + own[swapped], negated where c."""
    _native.gmw_result(ring_bits, choice, swapped, carry, replies[0], replies[1], own[0], own[1], out)
