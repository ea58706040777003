"""Oblivious transfer kernels: hashing, GGM trees, the LPN code, bit products and 1-of-2^m pads.

A block is 16 bytes, a row of a uint64 array of shape (n, 2), low word first. A correlated OT (COT) is q at the
sender, which also holds Delta, and t = q ^ u * Delta at the receiver; lsb(q) = 0 and lsb(Delta) = 1, so u = lsb(t).
A plane is n bits in n / 8 bytes, little-endian, n a multiple of 32. Callers check sizes; a wrong one is a ValueError.
"""

import numpy as np
from numpy.typing import NDArray

import pi_system.kernels._native as _native
from pi_system.kernels.packing import Bytes

Blocks = NDArray[np.uint64]
"""(n, 2)."""


def cr_hash(blocks: Blocks, tweak: int) -> Blocks:
    """Hash block i under tweak + i: circular correlation robust (eprint 2019/074)."""
    out = np.empty_like(blocks)
    _native.cr_hash(blocks, tweak, out)
    return out


def fold_leaves(leaves: Blocks, shift: int, skip: bool, counter: int, blocks: int) -> tuple[Bytes, Bytes]:
    """Fold the streams of 256 leaves into 8 rows and their sum (SoftSpokenOT, eprint 2022/192).

    Args:
        leaves: (256, 2), keys of the streams.
        shift: row b sums the leaves x with bit b of x ^ shift set.
        skip: leave out leaf ``shift``, which this party does not know.
        counter: first block of the streams.
        blocks: blocks of the streams.

    Returns:
        (8, 16 * blocks) and (16 * blocks,) bytes.
    """
    rows, total = np.empty((8, 16 * blocks), np.uint8), np.empty(16 * blocks, np.uint8)
    _native.fold_leaves(leaves, shift, skip, counter, rows.reshape(-1), total)
    return rows, total


def transpose_128(rows: Bytes) -> Blocks:
    """Turn 128 rows of n bits, (128, n / 8), into n blocks."""
    out = np.empty((8 * rows.shape[1], 2), np.uint64)
    _native.transpose_128(rows.reshape(-1), out)
    return out


def tree_sender(roots: Blocks, depth: int, delta: bytes, leaves: Blocks) -> Blocks:
    """Expand correlated GGM trees (half-tree, eprint 2022/1431) into ``leaves``, all with lsb 0.

    Args:
        roots: (trees, 2).
        depth: levels.
        delta: 16 bytes, odd.
        leaves: (trees * 2^depth, 2), written.

    Returns:
        for every tree and level the sum of the left nodes, (trees * depth, 2).
    """
    sums = np.empty((len(roots) * depth, 2), np.uint64)
    _native.tree_sender(roots, depth, delta, leaves, sums)
    return sums


def tree_receiver(alphas: NDArray[np.uint32], depth: int, keys: Blocks, leaves: Blocks) -> None:
    """Expand the same trees without leaf alpha, from the sums of the side that the path to alpha does not take.

    Args:
        alphas: (trees,).
        depth: levels.
        keys: (trees * depth, 2).
        leaves: (trees * 2^depth, 2), written: the sender's, with Delta added at alpha.
    """
    _native.tree_receiver(alphas, depth, keys, leaves)


def lpn_encode(base: Blocks, seed: bytes, first: int, out: Blocks) -> None:
    """Add to row i of ``out`` the ten rows of ``base`` that row first + i of the public matrix of ``seed`` names.

    ``first`` and the rows of ``out`` are multiples of 32. The ten are drawn with repetition (a place named twice
    cancels): 45 / len(base) of the rows have a pair of them.
    """
    _native.lpn_encode(base, seed, first, out)


def bit_products_sender(q: Blocks, delta: bytes, tweak: int, width: int) -> tuple[Bytes, Bytes]:
    """Hash n COTs to ``width`` (1 to 128) random bit products each: planes (width, n / 8) of beta and of v.

    The receiver's u and w satisfy v ^ w = u & beta.
    """
    beta = np.empty((width, len(q) // 8), np.uint8)
    v = np.empty_like(beta)
    _native.bits_sender(q, delta, tweak, width, beta.reshape(-1), v.reshape(-1))
    return beta, v


def bit_products_receiver(t: Blocks, tweak: int, width: int) -> tuple[Bytes, Bytes]:
    """The receiver's part: u, (n / 8,), and w, (width, n / 8)."""
    u, w = np.empty(len(t) // 8, np.uint8), np.empty((width, len(t) // 8), np.uint8)
    _native.bits_receiver(t, tweak, width, u, w.reshape(-1))
    return u, w


def pads_sender(q: Blocks, delta: bytes, tweak: int, m: int, width: int) -> NDArray[np.uint32]:
    """Hash m n COTs, laid out (m, n), to n random 1-of-2^m OTs of strings of ``width`` bits (Naor and Pinkas 1999).

    2^m ``width`` is at most 32. Pad i is the sum of the bits i of one hash for each COT: bits of a hash at different
    places are independent, so that of 2^m pads a receiver that has one hash of each pair knows one.

    Returns:
        (n,) words: the first bits of the 2^m strings in the lowest 2^m bits, then the second.
    """
    pads = np.empty(len(q) // m, np.uint32)
    _native.pads_sender(q, delta, tweak, m, width, pads)
    return pads


def pads_receiver(t: Blocks, tweak: int, m: int, width: int, choice: Bytes) -> tuple[Bytes, Bytes]:
    """The receiver's part, for entries ``choice`` (n,).

    Returns:
        shift (m, n / 8), to be sent: choice ^ random choice; and the planes of the bits, (width, n / 8).
    """
    n = len(choice)
    shift, bits = np.empty((m, n // 8), np.uint8), np.empty((width, n // 8), np.uint8)
    _native.pads_receiver(t, tweak, m, width, choice, shift.reshape(-1), bits.reshape(-1))
    return shift, bits


def pads_shift(pads: NDArray[np.uint32], shift: Bytes, m: int) -> None:
    """Move entry i ^ shift to i, in place, so that the receiver's bits belong to its chosen entry; m is at most 5."""
    _native.pads_shift(pads, shift.reshape(-1), m)
