"""What one inference consumes, in order: the plan that dealer, client and server agree on without a word.

The schedule is a dry run of the secure walk over shapes. It depends on public data only (graph, ring, ReLU map, and
what is revealed), so every role derives the same one, and the layout of its stored material with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph, WeightedNode
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateKind, GateSpec
from pi_system.protocols.material import material_bytes
from pi_system.protocols.record import GateProtocol
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.layout import Layout
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, SecureWalk, Share

Gates = Mapping[GateKind, GateProtocol]
"""Which protocol serves a backend's gates of a kind."""
Sections = list[tuple[str, int]]


class Step:
    """What every step says of both parties' material; most keep nothing."""

    __slots__ = ()

    @property
    def server_elements(self) -> dict[str, int]:
        """Arrays of ring elements that the server keeps, by the names of their sections."""
        return {}

    def sections(self, role: int, gates: Gates, ring: Ring) -> Sections:
        """What a party keeps, 0 the server and 1 the client: names and bytes."""
        elements = self.server_elements if role == 0 else {}
        return [(name, count * ring.itemsize) for name, count in elements.items()]


@dataclass(frozen=True, slots=True)
class Weighted(Step):
    """A weighted layer with ``outputs`` output elements a picture."""

    node: WeightedNode
    outputs: int


@dataclass(frozen=True, slots=True)
class Gate(Step):
    """One gate; those of label and scores are named ``label/...`` and ``scores/...``."""

    name: str
    spec: GateSpec

    def sections(self, role: int, gates: Gates, ring: Ring) -> Sections:
        """See Step."""
        gate = gates[self.spec.kind]
        shapes = (gate.client_shapes if role else gate.server_shapes)(self.spec)
        return [(f"{self.name}/material", material_bytes(shapes))]


@dataclass(frozen=True, slots=True)
class Truncation(Step):
    """One truncation that no gate follows."""

    name: str
    spec: TruncationSpec

    @property
    def server_elements(self) -> dict[str, int]:
        """See Step."""
        return {f"{self.name}/offset": self.spec.count, f"{self.name}/correction": self.spec.count}


@dataclass(frozen=True, slots=True)
class Remask(Step):
    """``count`` elements whose client share is replaced by a fresh mask."""

    name: str
    count: int

    @property
    def server_elements(self) -> dict[str, int]:
        """See Step."""
        return {f"{self.name}/difference": self.count}


@dataclass(frozen=True, slots=True)
class Output(Step):
    """What is opened: ``count`` elements a picture."""

    count: int

    def sections(self, role: int, gates: Gates, ring: Ring) -> Sections:
        """See Step."""
        return [("output", self.count * ring.itemsize)] if role else []


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of one inference in execution order, the last one an Output.

    Attributes:
        steps: those of the graph's nodes, then those of what is revealed.
        nodes: how many are of nodes.
    """

    steps: tuple[Step, ...]
    nodes: int

    @property
    def gates(self) -> list[Gate]:
        """The gates among them."""
        return [step for step in self.steps if isinstance(step, Gate)]

    @property
    def node_gates(self) -> list[Gate]:
        """Those of nodes, the first ones."""
        return [step for step in self.steps[: self.nodes] if isinstance(step, Gate)]

    @property
    def reveal_gates(self) -> list[Gate]:
        """Those of label or scores, the last ones."""
        return [step for step in self.steps[self.nodes :] if isinstance(step, Gate)]

    @property
    def opened(self) -> int:
        """Elements a picture that are opened."""
        return sum(step.count for step in self.steps if isinstance(step, Output))

    def burst_bytes(self, gates: Gates, ring: Ring, inputs: int) -> int:
        """The most that a party sends for a picture of ``inputs`` elements before it waits for an answer."""
        exchanges = (gates[gate.spec.kind].exchanges(gate.spec, gate.spec.count) for gate in self.gates)
        return max([inputs * ring.itemsize, *(max(pair) for found in exchanges for pair in found)])

    def layout(self, role: int, gates: Gates, ring: Ring, seeds: Sequence[str]) -> Layout:
        """A party's bundle: ``seeds`` by name, then the steps' sections."""
        kept = [section for step in self.steps for section in step.sections(role, gates, ring)]
        return Layout.of([*((name, SEED_BYTES) for name in seeds), *kept])


class _Dry(SecureWalk):
    """Records the steps; values are zero-strided zeros, so nothing is computed."""

    party = 1

    def __init__(self, graph: Graph, ring: RingConfig, masks: Mapping[str, NDArray[np.bool_]]):
        super().__init__(graph, ring, masks)
        self.steps: list[Step] = []

    def zeros(self, *shape: int) -> RingArray:
        return np.broadcast_to(self.ring.element(0), shape)

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        self.steps.append(Weighted(node, int(np.prod(node.shape))))
        return Computed(self.zeros(x.shape[0], *node.shape))

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        self.steps.append(Gate(name, spec))
        return self.zeros(x.shape[0], spec.count)

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        self.steps.append(Truncation(name, spec))
        return x

    def _remask(self, name: str, x: RingArray) -> RingArray:
        self.steps.append(Remask(name, x.shape[1]))
        return x


def plan(graph: Graph, ring: RingConfig, masks: Mapping[str, NDArray[np.bool_]], reveal: Reveal) -> Schedule:
    """The schedule of one inference (one picture) that tells the client ``reveal``."""
    walk = _Dry(graph, ring, masks)
    out = walk.run(graph, Share(Computed(walk.zeros(1, *graph.input.shape)), True))
    nodes = len(walk.steps)
    opened = walk.reveal(out.data.full().reshape(1, -1), reveal)
    walk.steps.append(Output(opened.shape[1]))
    return Schedule(tuple(walk.steps), nodes)
