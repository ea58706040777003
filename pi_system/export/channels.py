"""Channels of a network's nodes that are one value, moved or added: what one of them is multiplied by, all are."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import graph as ops

Indices = NDArray[np.int64]


class Shared(NamedTuple):
    """Groups of channels.

    Attributes:
        of: for every node the group of each channel, (C,), below ``groups``.
        groups: how many there are.
        fixed: the group of those that keep their scale: the picture, the logits and what is squared.
    """

    of: Mapping[str, Indices]
    groups: int
    fixed: int


def shared_channels(graph: ops.Graph) -> Shared:
    """The groups of all channels of all nodes."""
    groups, nodes = _Groups(graph), {node.name: node for node in graph}
    for node in graph:
        if isinstance(node, ops.Input | ops.Square) or node.name == graph.output:
            groups.fix(node)
        if isinstance(node, ops.Square):
            groups.fix(nodes[node.inputs[0]])
        for index, name in enumerate(node.inputs):
            for out, into in _linked(node, nodes[name], _offset(node, index, nodes)):
                groups.join(groups.first[node.name] + out, groups.first[name] + into)
    return groups.found


class _Groups:
    """Union-find over the channels of all nodes."""

    def __init__(self, graph: ops.Graph) -> None:
        self._graph = graph
        sizes = np.cumsum([0, *(node.shape[0] for node in graph)])
        self.first = {node.name: int(start) for node, start in zip(graph, sizes, strict=False)}
        self._parent = list(range(int(sizes[-1]) + 1))  # the last one: those that keep their scale

    def _find(self, channel: int) -> int:
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = channel = parent[parent[channel]]
        return channel

    def join(self, one: int, other: int) -> None:
        a, b = self._find(one), self._find(other)
        self._parent[min(a, b)] = max(a, b)

    def fix(self, node: ops.Node) -> None:
        for channel in range(node.shape[0]):
            self.join(self.first[node.name] + channel, len(self._parent) - 1)

    @cached_property
    def found(self) -> Shared:
        roots = np.array([self._find(channel) for channel in range(len(self._parent))])
        names, numbered = np.unique(roots, return_inverse=True)
        of = {node.name: numbered[self.first[node.name] :][: node.shape[0]] for node in self._graph}
        return Shared(of, len(names), int(numbered[-1]))


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
        kept = index >= 0
        pairs = np.unique(channel[kept] * operand.shape[0] + index[kept] // size)  # numbers: rows sort slowly
        yield from zip(*(part.tolist() for part in np.divmod(pairs, operand.shape[0])), strict=True)
    else:
        yield from ((offset + channel, channel) for channel in range(operand.shape[0]))
