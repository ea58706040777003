"""Channels scaled so that all values have one range: the same function, in finer fixed point.

relu(s x) = s relu(x) for s > 0, so a factor of a channel passes through everything between two layers with weights:
the rows of the layer before it take it, the columns of those behind it take it back. Fraction bits are one number a
node, and weights have 16 bits in a layer: so small channels, and rows of small weights, lose most where ranges differ.
Channels that are added, concatenated or moved together share a factor; the picture,
the logits and what is squared keep theirs.

Source: cross-layer equalization of Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.1, by calibrated ranges of
activations in the place of weights, and for any graph.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Weights
from pi_system.export.ranges import Ranges

Factors = Mapping[str, NDArray[np.float64]]

_PEAK = 8.0
"""Largest value of every channel: where those of trained networks with batch normalisation are."""
_LARGEST = 16
"""Base-2 logarithm of the largest factor: beyond it a channel is as good as zero."""
_QUIET = 16.0
"""A channel counts as at least this part of the largest of its node: calibration saw few of a quiet one's peaks."""
_UNSEEN = 2.0
"""So much nearer to what its weights reach the nearest channel may come: what pictures, not weights, keep quiet is
loud on others."""


class _Groups:
    """Channels of nodes that share a factor: union-find over all of them."""

    def __init__(self, graph: ops.Graph) -> None:
        sizes = np.cumsum([0, *(node.shape[0] for node in graph)])
        self.first = {node.name: int(start) for node, start in zip(graph, sizes, strict=False)}
        self.parent = list(range(int(sizes[-1]) + 1))  # the last one: factors that stay one
        self.fixed = int(sizes[-1])

    def find(self, channel: int) -> int:
        while self.parent[channel] != channel:
            self.parent[channel] = channel = self.parent[self.parent[channel]]
        return channel

    def join(self, one: int, other: int) -> None:
        a, b = self.find(one), self.find(other)
        self.parent[min(a, b)] = max(a, b)

    def fix(self, node: ops.Node, name: str) -> None:
        for channel in range(node.shape[0]):
            self.join(self.first[name] + channel, self.fixed)


def channel_factors(graph: ops.Graph, ranges: Ranges, weights: Weights) -> Factors:
    """For every node the positive factor of each channel, (C,); ``weights``: say how loud a quiet channel may get."""
    groups, nodes = _Groups(graph), {node.name: node for node in graph}
    for node in graph:
        if isinstance(node, ops.Input | ops.Square) or node.name == graph.output:
            groups.fix(node, node.name)
        if isinstance(node, ops.Square):
            groups.fix(nodes[node.inputs[0]], node.inputs[0])
        for index, name in enumerate(node.inputs):
            for out, into in _linked(node, nodes[name], _offset(node, index, nodes)):
                groups.join(groups.first[node.name] + out, groups.first[name] + into)
    roots = {
        node.name: np.array([groups.find(groups.first[node.name] + c) for c in range(node.shape[0])]) for node in graph
    }
    peaks = np.zeros(groups.fixed + 1)
    for name, root in roots.items():
        found, node = ranges.channels[name].max(axis=0), nodes[name]
        if isinstance(node, ops.Conv2d | ops.Linear):
            (source,) = node.inputs
            seen = ranges.channels[source].max(axis=0)
            inputs = np.where(roots[source] == groups.find(groups.fixed), seen, peaks[roots[source]])
            found = np.maximum(found, _unseen(found, _reach(node, weights[f"{name}.weight"], inputs)))
        np.maximum.at(peaks, root, np.maximum(found, found.max() / _QUIET))
    peaks[groups.find(groups.fixed)] = 0.0
    with np.errstate(divide="ignore"):
        factors = np.where(peaks > 0, np.clip(_PEAK / peaks, 2.0**-_LARGEST, 2.0**_LARGEST), 1.0)
    return {name: factors[root] for name, root in roots.items()}


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


def _offset(node: ops.Node, index: int, nodes: Mapping[str, ops.Node]) -> int:
    """Where the channels of input ``index`` begin in those of a concatenation."""
    return sum(nodes[name].shape[0] for name in node.inputs[:index]) if isinstance(node, ops.Concat) else 0


def _linked(node: ops.Node, operand: ops.Node, offset: int) -> Iterator[tuple[int, int]]:
    """Pairs (channel of the result, channel of the operand) that are one value."""
    size = int(np.prod(operand.shape[1:]))
    if isinstance(node, ops.WeightedNode | ops.Square):
        return
    if isinstance(node, ops.Gather | ops.Flatten):
        index = node.indices() if isinstance(node, ops.Gather) else np.arange(node.shape[0])
        channel = np.broadcast_to(np.arange(len(index)).reshape(-1, *(1,) * (index.ndim - 1)), index.shape)
        pairs = np.unique(np.stack([channel[index >= 0], index[index >= 0] // size]), axis=1)
        yield from zip(*pairs.tolist(), strict=True)
    else:
        yield from ((offset + channel, channel) for channel in range(operand.shape[0]))


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
