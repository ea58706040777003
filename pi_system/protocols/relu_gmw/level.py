"""A level of the comparison tree online: merges side by side, their symbols looked up once, planes as rows of arrays.

The inputs of a level are the rows of one array: "less" of every pair, then "equal" of all but the last. Two rows
follow, ones and zeros, with which products of fewer factors and sums of fewer products are made as the longest are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.packing import Bytes
from pi_system.protocols.relu_gmw.merge import Merge, Monomial, Variable

Rows = NDArray[np.intp]


@dataclass(slots=True)
class _Found:
    """What the merges of a level say, one after the other; ``early``: by output, rows of message and of sigma."""

    opened: list[list[int]] = field(default_factory=list)
    alone: list[list[list[int]]] = field(default_factory=list)
    opened_at: list[int] = field(default_factory=list)
    alone_at: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    early: list[list[tuple[int, int]]] = field(default_factory=list)


class Level:
    """What both parties do with the merges of one level; planes of a message are in the order of merge.py, by merge."""

    def __init__(self, groups: Sequence[Merge]):
        """``groups``: most significant first."""
        self.pairs = sum(group.size for group in groups)
        self.inputs = 2 * self.pairs - 1
        found, pair, slot = _Found(), 0, 0
        for group in groups:
            self._note(found, group, pair, slot)
            pair, slot = pair + group.size, slot + len(group.coefficients)
        self.outputs = len(found.alone)
        self._opened, self._opened_at = _index(found.opened, self.inputs), np.array(found.opened_at, np.intp)
        self._alone, self._alone_at = _padded(found.alone, self.inputs), np.array(found.alone_at, np.intp)
        order = found.firsts + [output for output in range(self.outputs) if output not in found.firsts]
        self._order = np.array(order, np.intp)
        summed = [(at, found.early[output]) for at, output in enumerate(order) if found.early[output]]
        self._summed = np.array([at for at, _ in summed], np.intp)
        self._terms = np.array([term for _, terms in summed for term in terms], np.intp).reshape(-1, 2)
        self._starts = np.cumsum([0, *(len(terms) for _, terms in summed)])[:-1]

    def _note(self, found: _Found, group: Merge, pair: int, slot: int) -> None:
        """The merge of the pairs from ``pair`` on, the first slot of which is ``slot``."""

        def row(variable: Variable) -> int:
            return pair + variable[1] + (self.pairs if variable[0] == "e" else 0)

        def rows(monomial: Monomial) -> list[int]:
            return [row(variable) for variable in monomial]

        first, plane = len(found.alone), len(found.opened_at) + len(found.alone_at)
        slots = {name: slot + number for number, name in enumerate(group.coefficients)}
        found.firsts.append(first)
        found.early += [[] for _ in group.terms]
        for number, (monomial, outputs) in enumerate(group.openings):
            for output in outputs:
                found.early[first + output].append((plane + number, slots[monomial, output]))
        found.opened += [rows(monomial) for monomial, _ in group.openings]
        found.opened_at += range(plane, plane + len(group.openings))
        found.alone += [[rows(product) for product in products] for products in group.terms]
        found.alone_at += range(plane + len(group.openings), plane + group.message_planes)

    def rows(self, width: int) -> Bytes:
        """Room for the inputs, (inputs + 2, ``width`` bytes), ones and zeros behind them."""
        rows = np.empty((self.inputs + 2, width), np.uint8)
        rows[-2], rows[-1] = 255, 0
        return rows

    def late(self, t: Bytes, masks: Bytes, offsets: Bytes) -> Bytes:
        """Planes to send of the late party's shares ``t``, as ``rows``.

        Args:
            t: its shares of the inputs.
            masks: u, one an opening.
            offsets: for every output the sum of w and z.
        """
        message = np.empty((len(self._opened_at) + self.outputs, t.shape[1]), np.uint8)
        message[self._opened_at] = np.bitwise_and.reduce(t[self._opened], axis=1) ^ masks
        alone = np.bitwise_xor.reduce(np.bitwise_and.reduce(t[self._alone], axis=2), axis=1)
        message[self._alone_at] = alone ^ offsets
        return message

    def early(self, message: Bytes, sigmas: Bytes, offsets: Bytes, out: Bytes) -> None:
        """The early party's new shares into ``out``: the first output of every merge, then the second ones.

        Args:
            message: the late party's planes.
            sigmas: the coefficients, by slot.
            offsets: for every output the monomials of s alone and the sum of v.
            out: (outputs, bytes of a plane).
        """
        np.bitwise_xor(message[self._alone_at[self._order]], offsets[self._order], out=out)
        if len(self._summed):
            products = message[self._terms[:, 0]] & sigmas[self._terms[:, 1]]
            out[self._summed] ^= np.bitwise_xor.reduceat(products, self._starts, axis=0)


def _index(products: Sequence[Sequence[int]], ones: int) -> Rows:
    """Rows of the factors of every product, (products, factors); ``ones``: a row that changes none."""
    most = max(map(len, products), default=1)
    return np.array([[*product, *[ones] * (most - len(product))] for product in products], np.intp).reshape(-1, most)


def _padded(sums: Sequence[Sequence[Sequence[int]]], ones: int) -> Rows:
    """Likewise of every sum of products, (sums, products, factors); row ``ones`` + 1 is zero."""
    most = max(map(len, sums))
    return _index([p for s in sums for p in [*s, *[[ones + 1]] * (most - len(s))]], ones).reshape(len(sums), most, -1)
