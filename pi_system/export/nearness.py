"""How near outputs are to others, each output of a network by itself: one may be far larger than the others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nearness", "in_parts", "nearness", "spread"]

Array = NDArray[np.float64]

# Of the size of an output's elements: a spread that is no more is float32's noise, of which no part can be met.
_NOISE = 1e-5


class Nearness(NamedTuple):
    """Of the output that is farthest.

    Attributes:
        error: the largest difference, as a share of the spread.
        agreement: share of the pictures whose label is the other's.
    """

    error: float
    agreement: float


def in_parts(values: Array, sizes: Sequence[int]) -> list[Array]:
    """``values`` (N, elements) of a network with outputs of ``sizes``; none given: it has one."""
    return np.split(values, np.cumsum(sizes)[:-1], axis=1) if sizes else [values]


def spread(logits: Array) -> float:
    """How far logits (N, elements) are apart: their standard deviation in a picture, of a lone one over pictures."""
    return float(np.sqrt(np.mean(logits.var(axis=1 if logits.shape[1] > 1 else 0))))


def _unit(logits: Array) -> float:
    """What errors of an output are a share of: its spread, or its size if it is constant."""
    found, size = spread(logits), float(np.abs(logits).max())
    return found if found > _NOISE * size else size or 1.0


def nearness(found: Array, expected: Array, sizes: Sequence[int], typical: Array | None = None) -> Nearness:
    """How near ``found`` (N, elements) is to ``expected``.

    Args:
        found: outputs.
        expected: outputs.
        sizes: of a network's outputs; none given: it has one.
        typical: outputs whose spread counts, or, where it is noise, their size; None: those expected.
    """
    given = (found, expected, expected if typical is None else typical)
    parts = list(zip(*(in_parts(values, sizes) for values in given), strict=True))
    errors = [np.abs(one - other).max() / _unit(usual) for one, other, usual in parts]
    kept = [(one.argmax(axis=1) == other.argmax(axis=1)).mean() for one, other, _ in parts]
    return Nearness(float(np.max(errors)), float(min(kept)))
