"""Kernels of the ReLU ``gc``: garbling, the server's labels, evaluation. Blocks are those of kernels/ot.py.

Wires are numbered low bit first; arrays of labels are (wires, 2 * elements) uint64, tables (wires - 1, 4 * elements).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import pi_system.kernels._native as _native
from pi_system.kernels.packing import Bytes, Words

Garbled = tuple[Words, Words, Words]
"""tables (k - 1, 4 n), rows (garble_rows, n), offset (n,)."""


def garble_rows(bits: int, shift: int) -> int:
    """Ring elements an element beside the tables: two a kept bit, and one."""
    return 2 * (bits - 1 - shift) + 1


def garble(
    bits: int, shift: int, *, stride: int, tweak: int, seed: bytes, delta: bytes, first: int, q: Words, flips: Bytes
) -> Garbled:
    """Garble elements first .. first + n of a gate of ``stride`` elements.

    Args:
        bits: k, wires of each input.
        shift: f.
        stride: elements of the gate, a multiple of 32 as first and n are.
        tweak: first of bits * stride hash tweaks of this gate.
        seed: 16 bytes, of the server's labels.
        delta: 16 bytes, odd.
        first: of the elements.
        q: (bits, 2 n), the client's zero labels, to which Delta is added where
        flips: planes (bits, n / 8), are set.

    Returns:
        tables and rows for the evaluator; offset, which the garbler adds to the evaluator's result.
    """
    n = q.shape[1] // 2
    tables = np.empty((bits - 1, 4 * n), np.uint64)
    rows, offset = np.empty((garble_rows(bits, shift), n), np.uint64), np.empty(n, np.uint64)
    _native.garble(bits, shift, stride, tweak, seed, delta, first, q, flips.reshape(-1), tables, rows, offset)
    return tables, rows, offset


def garble_inputs(bits: int, *, stride: int, seed: bytes, delta: bytes, first: int, share: NDArray[Any]) -> Bytes:
    """The server's active labels for ``share`` (n,): 16 * bits * n bytes, wire by wire."""
    out = np.empty(16 * bits * len(share), np.uint8)
    _native.garble_inputs(bits, stride, seed, delta, first, share, out)
    return out


def garble_evaluate(
    bits: int,
    shift: int,
    *,
    tweak: int,
    first: int,
    count: int,
    server: Bytes,
    client: Words,
    tables: Words,
    rows: NDArray[Any],
) -> Words:
    """The evaluator's share of ReLU(y) >> shift for ``count`` elements, (count,) modulo 2^64.

    Args:
        bits: k.
        shift: f.
        tweak: the garbler's.
        first: of the elements, a multiple of 32.
        count: n.
        server: the message of ``garble_inputs``.
        client: (bits, 2 * stride), the client's active labels.
        tables: (bits - 1, 4 * stride).
        rows: (garble_rows, stride), uint32 or uint64.
    """
    out = np.empty(count, np.uint64)
    _native.garble_evaluate(bits, shift, tweak, first, server, client, tables, rows, out)
    return out
