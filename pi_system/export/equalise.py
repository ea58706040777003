"""Channels scaled so that all values have one range: the same function, in finer fixed point.

relu(s x) = s relu(x) for s > 0, so a factor of a channel passes through everything between two layers with weights:
the rows of the layer before it take it, the columns of those behind it take it back. Fraction bits are one number a
node, and weights have 16 bits in a layer: so small channels, and rows of small weights, lose most where ranges differ.
Ranges of values decide the factors; balance.py lowers them where weights become finer. Channels that are added,
concatenated or moved together share a factor; the picture, the logits and what is squared keep theirs.

Source: cross-layer equalization of Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.1, by calibrated ranges of
activations in the place of weights, and for any graph.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Weights
from pi_system.export.balance import balanced
from pi_system.export.channels import Shared, shared_channels
from pi_system.export.ranges import Ranges

Factors = Mapping[str, NDArray[np.float64]]

_PEAK = 8.0
"""Largest value of a channel: where those of trained networks with batch normalisation are."""
_LARGEST = 16
"""Base-2 logarithm of the largest factor: beyond it a channel is as good as zero."""
_QUIET = 16.0
"""A channel counts as at least this part of the largest of its node: calibration saw few of a quiet one's peaks."""
_UNSEEN = 2.0
"""So much nearer to what its weights reach the nearest channel may come: what pictures, not weights, keep quiet is
loud on others."""


def channel_factors(graph: ops.Graph, ranges: Ranges, weights: Weights) -> Factors:
    """For every node the positive factor of each channel, (C,); ``weights``: say how loud a quiet channel may get."""
    shared = shared_channels(graph)
    factors = balanced(graph, weights, shared, _range_factors(graph, ranges, weights, shared))
    return {name: factors[groups] for name, groups in shared.of.items()}


def _range_factors(graph: ops.Graph, ranges: Ranges, weights: Weights, shared: Shared) -> NDArray[np.float64]:
    """What brings the peaks of each group of channels to ``_PEAK``, (groups,)."""
    peaks = np.zeros(shared.groups)
    for node in graph:
        found, groups = ranges.channels[node.name].max(axis=0), shared.of[node.name]
        if isinstance(node, ops.Conv2d | ops.Linear):
            (source,) = node.inputs
            read = shared.of[source]
            inputs = np.where(read == shared.fixed, ranges.channels[source].max(axis=0), peaks[read])
            found = np.maximum(found, _unseen(found, _reach(node, weights[f"{node.name}.weight"], inputs)))
        np.maximum.at(peaks, groups, np.maximum(found, found.max() / _QUIET))
    peaks[shared.fixed] = 0.0
    with np.errstate(divide="ignore"):
        return np.where(peaks > 0, np.clip(_PEAK / peaks, 2.0**-_LARGEST, 2.0**_LARGEST), 1.0)


def _reach(node: ops.WeightedNode, weight: NDArray[np.float32], inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest value that each row can give of operands with such peaks, (C,)."""
    return np.asarray((np.abs(weight) * _columns(node, weight, inputs)).reshape(len(weight), -1).sum(axis=1))


def _unseen(found: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the weights' reach says that peaks are at least, by the channel that comes nearest to its own."""
    share = np.divide(found, reach, out=np.zeros_like(found), where=reach > 0)
    return np.asarray(reach * min(1.0, float(share.max())) / _UNSEEN)


def _columns(node: ops.WeightedNode, weight: NDArray[np.float32], into: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number a channel of the operand as factors of ``weight``'s columns."""
    if isinstance(node, ops.Conv2d):
        columns = np.repeat(into.reshape(node.groups, -1), node.shape[0] // node.groups, axis=0)
    else:
        columns = np.broadcast_to(into, weight.shape)
    return columns.reshape(*columns.shape, *(1,) * (weight.ndim - 2))


def scaled_weights(graph: ops.Graph, weights: Weights, factors: Factors) -> dict[str, NDArray[np.float32]]:
    """``weights`` of the network whose values are multiplied by ``factors``."""
    scaled = dict(weights)
    for node in graph.weighted:
        out, into = factors[node.name], factors[node.inputs[0]]
        weight = weights[f"{node.name}.weight"]
        factor = out.reshape(-1, *(1,) * (weight.ndim - 1)) / _columns(node, weight, into)
        scaled[f"{node.name}.weight"] = (weight * factor).astype(np.float32)
    for name in (*(node.name for node in graph.weighted), *(node.name for node in graph.biased())):
        scaled[f"{name}.bias"] = (weights[f"{name}.bias"] * factors[name]).astype(np.float32)
    return scaled
