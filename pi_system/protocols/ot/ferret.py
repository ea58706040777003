"""Ferret: silent correlated OTs. A few COTs become many by single-point COTs and a linear code with hidden noise.

One round turns k + t * depth COTs into t * 2^depth: t trees of 2^depth leaves, each a COT of one unknown 1 among
zeros (the noise; regular: one a tree), plus a 10-local linear code of the k others. Trees are opened as they are
needed, one message of 16 * depth bytes a tree from the sender; the last trees of a round are kept and start the next.
Leaf positions are the complements of the random choice bits of the tree's own COTs: no message for them.
Correlated GGM trees (half-tree, nodes of a level sum to Delta) halve the bytes and the hashing of the paper's trees.
Source: Yang, Weng, Lan, Zhang, Wang, eprint 2020/924; correlated trees: Guo et al., eprint 2022/1431.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pi_system.errors import LocalProtocolError
from pi_system.kernels.ot import Blocks, lpn_encode, tree_receiver, tree_sender
from pi_system.protocols.half import Half, Send, receive_array
from pi_system.protocols.ot.base import CotReceiver, Cots, CotSender, Position
from pi_system.ring.prg import Prg

_STEP_BLOCKS = 1 << 14  # leaves expanded at a time: 256 KB stay in the second-level cache beside the code's base


@dataclass(frozen=True, slots=True)
class LpnParameters:
    """Regular LPN over F_2 with a 10-local code: n = trees * 2^depth, k = secret, weight = trees."""

    trees: int
    secret: int
    depth: int

    @property
    def base(self) -> int:
        """COTs one round consumes."""
        return self.secret + self.trees * self.depth

    @property
    def open_trees(self) -> int:
        """Trees a round gives away; the rest start the next round."""
        return self.trees - -(-self.base // (1 << self.depth))

    @property
    def tree_bytes(self) -> int:
        """Bytes from the sender a tree of 2^depth COTs."""
        return 16 * self.depth


# The weights and depths of EMP's sets (emp-ot, tuning.h), which have k = 2^16 and 2^17 and no margin: their cheapest
# attack costs 2^128.6 and 2^128.2. An eighth more secret buys twelve bits for 1 % of the bytes: scripts/lpn_estimate.py
# finds no attack below 2^140 on either, recorded in docs/reference/lpn-estimate.json; a test holds both against it.
SMALL = LpnParameters(850, 9 << 13, 10)
LARGE = LpnParameters(1170, 9 << 14, 11)


class _Rounds(ABC):
    """What both parties do alike: rounds, trees and left-over COTs."""

    def __init__(self, parameters: LpnParameters, seed: bytes, source: CotSender | CotReceiver):
        """``seed``: public, of the code's matrix, fresh each session; ``source`` gives the COTs of the first round."""
        self._p, self.matrix_seed, self._source = parameters, seed, source
        self._position = Position()
        self._left = np.empty((0, 2), np.uint64)
        self._code = self._left
        self._tree_cots: Blocks | None = None
        self._opened, self._row = 0, 0

    def extend(self, count: int) -> Half[Cots]:
        """See CotSender and CotReceiver; ``tree_bytes`` from the sender for every tree opened."""
        size = 1 << self._p.depth
        have = min(count, len(self._left))
        blocks = np.empty((count + size, 2), np.uint64)  # trees are expanded in place, the last may overshoot
        blocks[:have] = self._left[:have]
        self._left = self._left[have:]
        while have < count:
            yield from self._next_round()
            trees = min(-(-(count - have) // size), self._p.open_trees - self._opened)
            yield from self._trees(blocks[have : have + trees * size])
            have += trees * size
        if have > count:
            self._left = blocks[count:have].copy()
        return self._position.cots(blocks[:count])

    def begin(self) -> Half[None]:
        """Take the COTs of the first round, as ``extend`` does when it needs them.

        If they come of SoftSpokenOT the receiver sends for them, and after that the sender alone.
        """
        if self._tree_cots is None:
            yield from self._next_round()

    def _next_round(self) -> Half[None]:
        """See that a tree can be opened."""
        if self._tree_cots is None:
            cots = yield from self._source.extend(self._p.base)
            self._start(cots.blocks)
        elif self._opened == self._p.open_trees:
            base = np.empty(((self._p.trees - self._opened) << self._p.depth, 2), np.uint64)
            yield from self._trees(base)
            self._start(base[: self._p.base])

    def _start(self, base: Blocks) -> None:
        """Begin a round on ``base`` COTs."""
        k = self._p.secret
        self._code = base[:k].copy()
        self._tree_cots = base[k:].reshape(self._p.trees, self._p.depth, 2).copy()
        self._opened = 0

    def _trees(self, out: Blocks) -> Half[None]:
        """Open as many trees as fill ``out``."""
        if self._tree_cots is None:
            raise LocalProtocolError("Ferret: expected a round in progress, found none")
        count = len(out) >> self._p.depth
        cots = self._tree_cots[self._opened : self._opened + count]
        self._opened += count
        yield from self._open(cots, out)

    @abstractmethod
    def _open(self, cots: Blocks, out: Blocks) -> Half[None]:
        """Fill ``out`` (n * 2^depth, 2) from the trees of ``cots`` (n, depth, 2)."""

    def _add_code(self, leaves: Blocks) -> None:
        """Add the code word to the noise, for the next rows of the matrix."""
        lpn_encode(self._code, self.matrix_seed, self._row, leaves)
        self._row += len(leaves)


class FerretSender(_Rounds):
    """Holds Delta, makes the trees."""

    def __init__(self, parameters: LpnParameters, seed: bytes, source: CotSender, prg: Prg):
        """``prg`` draws the roots of the trees."""
        super().__init__(parameters, seed, source)
        self.delta, self._prg = source.delta, prg

    def _open(self, cots: Blocks, out: Blocks) -> Half[None]:
        depth, delta = self._p.depth, self.delta.tobytes()
        roots = np.empty((len(cots), 2), np.uint64)
        self._prg.into(roots)
        message = np.empty(cots.shape, np.uint64)
        for first, last in _steps(len(cots), depth):
            leaves = out[first << depth : last << depth]
            sums = tree_sender(roots[first:last], depth, delta, leaves)
            message[first:last] = sums.reshape(-1, depth, 2) ^ cots[first:last]
            self._add_code(leaves)
        yield Send(message.tobytes())


class FerretReceiver(_Rounds):
    """Knows the noise positions."""

    def __init__(self, parameters: LpnParameters, seed: bytes, source: CotReceiver):
        """``seed`` and the parameters must be the sender's."""
        super().__init__(parameters, seed, source)

    def _open(self, cots: Blocks, out: Blocks) -> Half[None]:
        depth = self._p.depth
        # The sender masks the left sum with q: t unmasks the side that the COT's random bit names.
        keys = (yield from receive_array(cots.shape, np.uint64)) ^ cots
        taken = (1 - (cots[:, :, 0] & np.uint64(1))).astype(np.uint32)
        weights = np.uint32(1) << np.arange(depth - 1, -1, -1, dtype=np.uint32)
        alphas = (taken * weights).sum(axis=1, dtype=np.uint32)
        for first, last in _steps(len(cots), depth):
            leaves = out[first << depth : last << depth]
            tree_receiver(alphas[first:last], depth, keys[first:last].reshape(-1, 2), leaves)
            self._add_code(leaves)


def _steps(trees: int, depth: int) -> list[tuple[int, int]]:
    """Ranges of trees expanded at a time."""
    size = max(1, _STEP_BLOCKS >> depth)
    return [(first, min(first + size, trees)) for first in range(0, trees, size)]
