"""Factors of channels that let weights fill their 16 bits: the largest weight of a layer decides how fine all are.

A channel's factor multiplies the row of the layer before it and divides the column of that behind it. Where the row
has a weight near its layer's largest and the column has none near its own, a smaller factor makes the first layer finer
and costs the second nothing. Each step gives both the same share of their layers' largest weight; factors are not
raised, so that values stay in their ranges, and lowered by ``_MOST`` at most, so that they keep their bits. Fraction
bits are whole: a layer whose channels nothing else writes is scaled then so that its largest weight fills its last bit.

Source: cross-layer equalization of Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.1, for any graph and for layers
whose weights share one scale: shares of a layer's largest weight in the place of ranges of channels.
"""

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Weights
from pi_system.export.channels import Shared
from pi_system.program.encoding import WEIGHT_BITS

Array = NDArray[np.float64]

_STEPS = 8
_MOST = 16.0
_BELOW = 1 - 2.0**-10
"""Of the last bit that a layer's largest weight fills: rounding must not carry it over."""


def balanced(graph: ops.Graph, weights: Weights, shared: Shared, factors: Array) -> Array:
    """``factors`` of groups of channels, (groups,), lowered where that makes weights finer.

    Args:
        graph: the network.
        weights: unscaled.
        shared: the groups.
        factors: what ranges of values allow.
    """
    layers = [_Layer(node, weights[f"{node.name}.weight"], shared) for node in graph.weighted]
    found = factors.copy()
    for _ in range(_STEPS):
        rows, columns = np.zeros(shared.groups), np.zeros(shared.groups)
        for layer in layers:
            layer.add_shares(found, rows, columns)
        movable = (rows > 0) & (columns > 0)
        movable[shared.fixed] = False
        step = np.sqrt(np.divide(rows, columns, out=np.ones(shared.groups), where=movable))
        found = np.where(movable, np.clip(found / step, factors / _MOST, factors), found)
    writers = np.zeros(shared.groups, np.int64)
    for layer in layers:
        writers[layer.written] += 1
    writers[shared.fixed] += 2
    for layer in layers:
        if (writers[layer.written] == 1).all():
            found[layer.written] *= layer.filling(found)
    return found


class _Layer:
    """The largest weight from each channel to each, (O, C), zero where there is none."""

    def __init__(self, node: ops.WeightedNode, weight: NDArray[np.float32], shared: Shared) -> None:
        largest = np.abs(weight).reshape(*weight.shape[:2], -1).max(axis=2).astype(np.float64)
        groups = node.groups if isinstance(node, ops.Conv2d) else 1
        self._largest = largest.reshape(groups, len(weight) // groups, -1)
        self._into = shared.of[node.inputs[0]].reshape(groups, 1, -1)
        self._out = shared.of[node.name].reshape(groups, -1, 1)
        self.written = np.unique(self._out)

    def _scaled(self, factors: Array) -> Array:
        return np.asarray(self._largest * (factors[self._out] / factors[self._into]))

    def add_shares(self, factors: Array, rows: Array, columns: Array) -> None:
        """Raise those of the groups to the shares that their rows and columns have of the largest weight."""
        scaled = self._scaled(factors)
        if (top := scaled.max(initial=0.0)) > 0:
            np.maximum.at(rows, self._out[..., 0], scaled.max(axis=2) / top)
            np.maximum.at(columns, self._into[:, 0], scaled.max(axis=1) / top)

    def filling(self, factors: Array) -> float:
        """What brings the largest weight just below a power of two, from above."""
        top = self._scaled(factors).max(initial=0.0)
        limit = (2.0 ** (WEIGHT_BITS - 1) - 1) / 2.0 ** (WEIGHT_BITS - 1) * _BELOW
        share = top / limit / 2.0 ** np.floor(np.log2(top / limit)) if top > 0 else 1.0
        return float(1 / share)
