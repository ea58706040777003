"""The comparison table of a shared number: T_(j+1) = (T_j ^ P ^ alpha_j) || P, P = alpha_j T_j.

T_j[x] = [x < alpha mod 2^j] for x of j bits; the last entry, always zero, is left out. Both parts of each product are
a bit of one party's with a string of the other's (products.py).
"""

import numpy as np

from pi_system.kernels.packing import Bytes
from pi_system.protocols.relu_table.products import Chosen, Offered
from pi_system.protocols.relu_table.shape import Shape


class Doubling:
    """One party's share of a table that grows, rows of n / 8 bytes.

    ``alpha``: shares of the bits below the highest, lowest first.
    """

    def __init__(self, shape: Shape, alpha: list[Bytes], offered: Offered, chosen: Chosen):
        """Of a table of one entry: [0 < alpha mod 2] is alpha_0 itself."""
        self._table = alpha[0][None]
        self._alpha, self._lengths = alpha[1:], shape.strings
        self._offered, self._chosen = offered.strings, chosen.strings
        self._pieces = [a for a, pieces in zip(self._alpha, self._lengths, strict=True) for _ in pieces]

    def corrections(self) -> list[Bytes]:
        """e of every piece, own bit against the random choice: sent before the first doubling."""
        return [a ^ u for a, (u, _) in zip(self._pieces, self._chosen, strict=True)]

    def rows(self, j: int) -> int:
        """How many rows doubling ``j`` sends; none after the last."""
        return sum(self._lengths[j]) if j < len(self._lengths) else 0

    def message(self, j: int) -> Bytes:
        """F of doubling ``j``, rows: the table under its masks."""
        if not self.rows(j):
            return self._table[:0]
        masked: Bytes = self._table ^ np.concatenate([beta for beta, _ in self._offered[self._range(j)]])
        return masked

    def grow(self, j: int, theirs: Bytes, corrections: Bytes) -> None:
        """Take the peer's F of doubling ``j`` and its ``corrections``, rows of all pieces; nothing after the last."""
        if not self.rows(j):
            return
        pieces, first = self._range(j), 0
        product = self._table & self._alpha[j]
        for at, length in zip(range(pieces.start, pieces.stop), self._lengths[j], strict=True):
            rows = slice(first, first + length)
            (_, v), (u, w) = self._offered[at], self._chosen[at]
            product[rows] ^= v ^ w ^ (self._table[rows] & corrections[at]) ^ (theirs[rows] & u)
            first += length
        alpha = self._alpha[j]
        self._table = np.concatenate([self._table ^ product ^ alpha, alpha[None], product])

    def _range(self, j: int) -> slice:
        first = sum(map(len, self._lengths[:j]))
        return slice(first, first + len(self._lengths[j]))

    @property
    def table(self) -> Bytes:
        """The share of the table with its last entry, (2^bits, n / 8)."""
        return np.concatenate([self._table, np.zeros_like(self._table[:1])])
