"""SoftSpokenOT, semi-honest, k = 8: correlated OTs from 128 base OTs at 15/8 bytes each.

Byte i of Delta is the one leaf of tree i (256 leaves, GGM) that the sender does not know. Both expand the leaves they
know to streams; the receiver's weighted sums are 8 columns of t, the sender's the same plus Delta_i times the sum
u_i of all streams. The receiver sends u_i ^ u_0 for i = 1..15, so that all trees share the choice bits u = u_0.
k = 8 sends half of k = 4 and needs 4096 streams: fast enough for the 74,000 COTs that start Ferret, its only use.
Source: Roy, eprint 2022/192 (small-field VOLE; leaves from base OTs by GGM puncturing).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.ot import Blocks, cr_hash, fold_leaves, transpose_128
from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import Half, Send, receive_array
from pi_system.protocols.ot.base import Cots, Position

_TREES, _DEPTH = 16, 8
BASE_OTS = _TREES * _DEPTH
CORRECTION_SHAPE = (_DEPTH, _TREES, 2, 2)
"""uint64: for every level, tree and side the masked sum of the side's nodes; 4,096 bytes."""
_TREE_TWEAKS = 1 << 63  # apart from those of the COTs, which count from 0


def softspoken_bytes(count: int) -> int:
    """Bytes from the receiver for one ``extend(count)``."""
    return (_TREES - 1) * 16 * _stream_blocks(count)


class SoftSpokenReceiver:
    """Knows all leaves: the sender of the base OTs. Its ``corrections`` go to the sender before the first extension."""

    def __init__(self, seeds: tuple[Blocks, Blocks], roots: Blocks):
        """Expand the trees of ``roots`` (16, 2), with corrections under the base OT ``seeds`` (128, 2) each."""
        self._position, self._counter = Position(), 0
        keys = np.stack(seeds, axis=1).reshape(_TREES, _DEPTH, 2, 2)
        self.corrections = np.empty(CORRECTION_SHAPE, np.uint64)
        nodes = roots.reshape(_TREES, 1, 2)
        for level in range(_DEPTH):
            nodes = _children(nodes, level)
            sums = np.bitwise_xor.reduce(nodes.reshape(_TREES, -1, 2, 2), axis=1)
            self.corrections[level] = sums ^ keys[:, level]
        self._leaves = nodes

    def extend(self, count: int) -> Half[Cots]:
        """See CotReceiver; sends ``softspoken_bytes(count)`` bytes."""
        blocks = _stream_blocks(count)
        folded = [fold_leaves(self._leaves[i], 0, False, self._counter, blocks) for i in range(_TREES)]
        self._counter += blocks
        choice = folded[0][1]
        yield Send(np.stack([total ^ choice for _, total in folded[1:]]).tobytes())
        rows = np.concatenate([rows for rows, _ in folded])
        rows[0] = choice  # the convention lsb(t) = u
        return self._position.cots(transpose_128(rows)[:count])


class SoftSpokenSender:
    """Knows all leaves but Delta's: the receiver of the base OTs, with the choices of ``base_choices``."""

    def __init__(self, delta: Blocks, seeds: Blocks, corrections: Blocks):
        """Expand the trees; ``seeds`` (128, 2) from the base OTs, ``corrections`` from the receiver."""
        self.delta = delta
        self._position, self._counter = Position(), 0
        self._missing = delta.view(np.uint8).reshape(_TREES)
        self._leaves = _punctured_leaves(self._missing, seeds.reshape(_TREES, _DEPTH, 2), corrections)

    @staticmethod
    def base_choices(delta: Blocks) -> NDArray[np.uint8]:
        """Choice bits of the base OTs: at every level the side that the path to the missing leaf does not take."""
        return 1 - np.unpackbits(delta.view(np.uint8).reshape(_TREES))

    def extend(self, count: int) -> Half[Cots]:
        """See CotSender; receives ``softspoken_bytes(count)`` bytes."""
        blocks = _stream_blocks(count)
        rows = np.concatenate(
            [fold_leaves(self._leaves[i], int(self._missing[i]), True, self._counter, blocks)[0] for i in range(_TREES)]
        )
        self._counter += blocks
        corrections = yield from receive_array((_TREES - 1, 16 * blocks), np.uint8)
        bits: Any = np.unpackbits(self._missing[1:], bitorder="little").reshape(_TREES - 1, _DEPTH, 1)
        rows[_DEPTH:] ^= ((0 - bits).astype(np.uint8) & corrections[:, None, :]).reshape(-1, 16 * blocks)
        rows[0] = 0  # the convention lsb(q) = 0
        return self._position.cots(transpose_128(rows)[:count])


def _stream_blocks(count: int) -> int:
    return (count + 127) // 128


def _children(nodes: Blocks, level: int) -> Blocks:
    """(trees, n, 2) to (trees, 2 n, 2): left and right child of every node by two hashes."""
    trees, count, _ = nodes.shape
    flat = np.ascontiguousarray(nodes).reshape(-1, 2)
    tweak = _TREE_TWEAKS + (level << 32)
    pair = np.stack([cr_hash(flat, tweak), cr_hash(flat, tweak + (1 << 31))], axis=1)
    return pair.reshape(trees, 2 * count, 2)


def _punctured_leaves(missing: Bytes, seeds: Blocks, corrections: Blocks) -> Blocks:
    """All leaves of every tree but ``missing``, whose place holds garbage."""
    trees = np.arange(_TREES)
    nodes = np.zeros((_TREES, 1, 2), np.uint64)
    path = np.zeros(_TREES, np.int64)
    for level in range(_DEPTH):
        nodes = _children(nodes, level)
        taken = (missing >> (_DEPTH - 1 - level)).astype(np.int64) & 1
        sides = nodes.reshape(_TREES, -1, 2, 2)
        sides[trees, path] = 0  # children of the unknown node are garbage
        known = np.bitwise_xor.reduce(sides, axis=1)[trees, 1 - taken]
        sides[trees, path, 1 - taken] = known ^ corrections[level][trees, 1 - taken] ^ seeds[:, level]
        path = 2 * path + taken
    return nodes
