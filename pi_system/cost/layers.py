"""What the server computes between gates, in the order in which the online walk does it.

A weighted layer is computed when its output is asked for, channel by channel while a gate sends, and anew for every
other reader; a sum with such a term likewise (secure/values.py). So each node here says
what it computes at once, what its gates draw from layers that are still waiting, and what it computes afterwards.

Units: ``mac32``, ``mac64``: multiply-accumulates by carrier, output channels rounded up to 8 and taps to 4, as all
kernels compute them; ``moved``: bytes that weighted layers read and write; ``swept``: bytes that local operations
(sums, truncations, pooling) do; ``layer``: evaluations of a weighted layer; ``masked``: elements of an activation with
a mask, whose active positions are gathered and scattered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pi_system.artifact.graph import Add, Input, MaxPool2d, Node, WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.cost.work import UNITS, Work, work
from pi_system.program.counts import count_nodes
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.secure.schedule import Gate, Schedule

_CHANNELS, _TAPS = 8, 4
"""What every path of the convolution kernels rounds output channels and taps up to; some, as AMX, to more."""


@dataclass(frozen=True, slots=True)
class RowWork:
    """Work that belongs to the row of node ``name``, wherever it is done."""

    name: str
    units: Work


@dataclass(frozen=True, slots=True)
class NodeWork:
    """One node of the graph online.

    Attributes:
        node: it.
        macs: multiply-accumulates, as counted for people.
        at_once: computed before its gates.
        drawn: computed while its first gate draws its input, in proportion to the elements drawn.
        gates: names and specifications, one after the other.
        after: computed after its gates.
    """

    node: Node
    macs: int
    at_once: tuple[RowWork, ...] = ()
    drawn: tuple[RowWork, ...] = ()
    gates: tuple[tuple[str, GateSpec], ...] = ()
    after: tuple[RowWork, ...] = ()


def node_works(public: PublicArtifact, schedule: Schedule) -> list[NodeWork]:
    """Every node in execution order; the last one's value is complete at the end."""
    return list(_Walk(public, schedule).run())


class _Walk:
    """Keeps, for every value, what is still to be computed when somebody reads it."""

    def __init__(self, public: PublicArtifact, schedule: Schedule):
        self._graph = public.public.graph
        self._itemsize = Ring(public.public.ring.ring_bits).itemsize
        self._masked = self._graph.masked()
        self._macs = {count.name: count.macs for count in count_nodes(self._graph)}
        self._elements = {node.name: prod(node.shape) for node in self._graph}
        self._waiting: dict[str, tuple[RowWork, ...]] = {}
        self._remasked: set[str] = set()
        self._gates: dict[str, list[tuple[str, GateSpec]]] = {}
        for gate in schedule.node_gates:
            self._gates.setdefault(_owner(gate), []).append((gate.name, gate.spec))

    def run(self) -> Iterator[NodeWork]:
        for node in self._graph:
            read = tuple(part for name in node.inputs for part in self._waiting[name])
            found, self._waiting[node.name] = self._node(node, read, self._own(node))
            if node.name == self._graph.output:
                found = replace(found, after=(*found.after, *self._waiting[node.name]))
            yield found

    def _node(
        self, node: Node, read: tuple[RowWork, ...], own: tuple[RowWork, ...]
    ) -> tuple[NodeWork, tuple[RowWork, ...]]:
        """The node's work and what waits for its value's readers."""
        found = NodeWork(node, self._macs[node.name], gates=tuple(self._gates.get(node.name, ())))
        if isinstance(node, WeightedNode):
            seen = node.inputs[0] in self._remasked  # a value that is not fresh is made once for all its layers
            self._remasked.add(node.inputs[0])
            return replace(found, at_once=() if seen else read), own
        if isinstance(node, Add) and read:
            return found, (*read, *own)
        if not found.gates or isinstance(node, MaxPool2d):  # a tournament reads its windows as a whole
            return replace(found, at_once=(*read, *own)), ()
        return replace(found, drawn=read, after=own), ()

    def _own(self, node: Node) -> tuple[RowWork, ...]:
        if isinstance(node, Input):
            return ()
        if isinstance(node, WeightedNode):
            return (RowWork(node.name, self._weighted(node)),)
        masked = self._elements[node.name] if node.name in self._masked and node.name in self._gates else 0
        return (RowWork(node.name, work(swept=self._moved(node), masked=masked)),)

    def _weighted(self, node: WeightedNode) -> Work:
        return weighted_work(node, self._elements[node.inputs[0]], self._itemsize)

    def _moved(self, node: Node) -> int:
        return self._itemsize * sum(self._elements[name] for name in (*node.inputs, node.name))


def weighted_work(node: WeightedNode, inputs: int, itemsize: int) -> Work:
    """One evaluation of a weighted layer of ``inputs`` elements, in carriers of ``itemsize`` bytes."""
    outputs, channels = prod(node.shape), node.shape[0]
    taps = prod(node.weight_shape[1:])
    padded = -(-taps // _TAPS) * _TAPS * (-(-channels // _CHANNELS) * _CHANNELS) * (outputs // channels)
    kind = "mac32" if itemsize == Ring(32).itemsize else "mac64"
    return work(**{kind: padded, "moved": itemsize * (inputs + outputs), "layer": 1})


def _owner(gate: Gate) -> str:
    return gate.name.partition("/")[0]


def total(parts: Sequence[RowWork]) -> Work:
    """The work of all of them."""
    return np.sum([part.units for part in parts], axis=0) if parts else np.zeros(len(UNITS))
