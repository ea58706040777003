"""Label and scores inside the protocol: what is opened is a function of the logits and nothing else.

Both are built from the gate that every backend has, ReLU on integers, which is exact without a shift:

    [x >= 0] = ReLU(x + 1) - ReLU(x)

Scores: a gate of x and one of -x, which drop the step's bits, come within one of floor(x / step), whichever way the
backend rounds; two more gates on what they leave say which of both it was, and the result is exact.

Label: all pairs of up to ``FAN_OUT`` classes are compared at once; the winner is the one that wins them all, and its
index is the sum of all indices, each kept only where that holds. More classes form groups of nearly equal size, whose
winners' values and indices meet again. Two gates one after the other a level; a third where the ring has no room to
keep a value and drop the losers in one. Rounds against bytes: docs/explanation/decisions.md.

Inputs: shares of the logits, (N, classes). Outputs: shares mod 2^l, freshly masked by the last gates, of which the sum
is the label, 0..classes - 1, or the scores. Error: none. Security: that of the gate; nothing else is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np

from pi_system.artifact.ring_config import RingConfig
from pi_system.ring.carrier import Ring, RingArray

FAN_OUT: Final = 16
"""Classes compared all with all. More: fewer rounds; gates grow with the square."""
_ROOM: Final = 38
"""Bits of a comparison that holds values beside places. More: `gmw` takes a fifth group for them, which costs more than
to narrow them first."""

GateFunction = Callable[[str, int, int, RingArray], RingArray]
"""(name, comparison bits k, shift, x of any shape (N, ...)): shares of ReLU(x / 2^shift), rounded to a neighbour; see
protocols/gate.py for the range of x."""


def group_sizes(classes: int) -> tuple[int, ...]:
    """Candidates in a group, level by level; their product is at least ``classes``."""
    levels = 1
    while FAN_OUT**levels < classes:
        levels += 1
    sizes = []
    for left in range(levels if classes > 1 else 0, 0, -1):
        size = next(size for size in range(2, FAN_OUT + 1) if size**left >= classes)
        sizes.append(size)
        classes = ceil(classes / size)
    return tuple(sizes)


@dataclass(frozen=True, slots=True)
class Revealer:
    """One role's computation.

    Attributes:
        config: ring and widths.
        gate: the role's ReLU.
        constant: a public constant in this role's share: the server has it, the client zero.
    """

    config: RingConfig
    gate: GateFunction
    constant: Callable[[int], Any]

    def scores(self, logits: RingArray, shift: int) -> RingArray:
        """Shares of floor((logit + 2^(shift-1)) / 2^shift), (N, classes).

        With x = logit + step / 2, the two gates' ReLU(x / step) - ReLU(-x / step) is floor(x / step) or one more,
        whichever way they round. Of x they ask |x| < 2^(k-1) - step.
        """
        bits, step = self.config.logit_bits, 1 << shift
        x = logits + self.constant(step // 2)
        width = bits + (1 if shift + 2 <= bits else 2)
        both = self.gate("scores/near", width, shift, np.stack([x, self._element(0) - x], axis=1))
        near = both[:, 0] - both[:, 1]
        low = self._at_least_zero("scores/exact", shift + 2, x - near * self._element(step))
        rounded: RingArray = near + low - self.constant(1)
        return rounded

    def label(self, logits: RingArray) -> RingArray:
        """Shares of the lowest index of a largest logit, (N, 1)."""
        bits, classes = self.config.logit_bits, logits.shape[1]
        one, index_bits = self.constant(1), classes.bit_length()
        value = logits + self.constant(1 << (bits - 1))  # 0 < value < 2^bits
        numbers = np.arange(1, classes + 1).astype(value.dtype)  # not from 0: what is kept must be above it
        index: RingArray = np.zeros_like(value) + one * numbers
        for level, size in enumerate(group_sizes(classes)):
            name, last, most = f"label/{level}", value.shape[1] <= size, size - 1
            value, index = _groups(value, size, one), _groups(index, size, one)
            lost = self._lost(f"{name}/compare", value)
            width, carried = (index_bits, [index]) if last else (max(bits, index_bits), [index, value])
            if _kept_bits(width, most) > min(self.config.ring_bits, _ROOM):
                lost, most = one - self._at_least_zero(f"{name}/narrow", size.bit_length() + 1, -lost), 1
            kept = self._kept(f"{name}/keep", carried, lost, width, most)
            index, value = kept[:, 0], kept[:, -1]
        label: RingArray = index - one
        return label

    def _lost(self, name: str, value: RingArray) -> RingArray:
        """How many of its group (N, groups, size) every candidate loses to, 0..size - 1; 0 is one of each group."""
        size = value.shape[2]
        first, second = np.triu_indices(size, 1)
        wins = self._at_least_zero(name, self.config.logit_bits + 1, value[:, :, first] - value[:, :, second])
        places = np.arange(size)
        signs = (places == second[:, None]).astype(value.dtype) - (places == first[:, None]).astype(value.dtype)
        lost: RingArray = wins @ signs + self.constant(1) * (size - 1 - places).astype(value.dtype)
        return lost

    def _kept(self, name: str, carried: list[RingArray], lost: RingArray, bits: int, most: int) -> RingArray:
        """What the winner of each group carries, (N, len(carried), groups).

        It is (N, groups, size) each, 0 < x < 2^bits; what lost, ``most`` times at most, is pushed below zero.
        """
        pushed = np.stack([x - lost * self._element(1 << bits) for x in carried], axis=1)
        winners: RingArray = self.gate(name, _kept_bits(bits, most), 0, pushed).sum(axis=3, dtype=pushed.dtype)
        return winners

    def _at_least_zero(self, name: str, bits: int, x: RingArray) -> RingArray:
        """Shares of [x >= 0] for integers -2^(bits-1) < x < 2^(bits-1) - 1."""
        above, at = np.split(self.gate(name, bits, 0, np.stack([x + self.constant(1), x], axis=1)), 2, axis=1)
        bit: RingArray = (above - at)[:, 0]
        return bit

    def _element(self, value: int) -> Any:
        return Ring(self.config.ring_bits).element(value)


def _kept_bits(bits: int, most: int) -> int:
    """Least k with |x - most * 2^bits| < 2^(k-1) for every 0 < x < 2^bits."""
    return bits + (most - 1).bit_length() + 1


def _groups(x: RingArray, size: int, filler: Any) -> RingArray:
    """(N, n) as (N, groups, size); the last group is filled up with ones, which lose to all that stand before them."""
    count = ceil(x.shape[1] / size)
    filled = np.pad(x, ((0, 0), (0, count * size - x.shape[1])), constant_values=filler)
    return filled.reshape(x.shape[0], count, size)
