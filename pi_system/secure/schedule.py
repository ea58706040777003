"""What one inference consumes, in order: the plan that dealer, client and server agree on without a word.

The schedule is a dry run of the secure walk over shapes. It depends on public data only (graph, ring, ReLU map, and
what is revealed), so every role derives the same one, and the layout of its stored material with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Conv2d, Graph, Linear
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray
from pi_system.secure.walk import SecureWalk, Share

__all__ = ["Gate", "Output", "Remask", "Schedule", "Step", "Truncation", "Weighted", "plan"]


@dataclass(frozen=True, slots=True)
class Weighted:
    """A weighted layer with ``outputs`` output elements a picture."""

    node: Conv2d | Linear
    outputs: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate; those of label and scores are named ``label/...`` and ``scores/...``."""

    name: str
    spec: GateSpec


@dataclass(frozen=True, slots=True)
class Truncation:
    """One truncation that no gate follows."""

    name: str
    spec: TruncationSpec

    def sections(self, ring: Ring) -> tuple[tuple[str, int], tuple[str, int]]:
        """What the server keeps for it: names and bytes of offset and correction."""
        size = self.spec.count * ring.itemsize
        return (f"{self.name}/offset", size), (f"{self.name}/correction", size)


@dataclass(frozen=True, slots=True)
class Remask:
    """``count`` elements whose client share is replaced by a fresh mask."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Output:
    """What is opened: ``count`` elements a picture."""

    count: int


Step = Weighted | Gate | Truncation | Remask | Output


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of one inference in execution order."""

    steps: tuple[Step, ...]

    @property
    def gates(self) -> list[Gate]:
        """The gates among them."""
        return [step for step in self.steps if isinstance(step, Gate)]


class _Dry(SecureWalk):
    """Records the steps; values are zero-strided zeros, so nothing is computed."""

    party = 1

    def __init__(self, graph: Graph, ring: RingConfig, masks: Mapping[str, NDArray[np.bool_]]):
        super().__init__(graph, ring, masks)
        self.steps: list[Step] = []

    def zeros(self, *shape: int) -> RingArray:
        return np.broadcast_to(self.ring.element(0), shape)

    def _weighted(self, node: Conv2d | Linear, x: RingArray) -> RingArray:
        self.steps.append(Weighted(node, int(np.prod(node.shape))))
        return self.zeros(x.shape[0], *node.shape)

    def _gate(self, name: str, spec: GateSpec, x: Any, positions: Any) -> RingArray:
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
    out = walk.run(graph, Share(walk.zeros(1, *graph.input.shape), True))
    opened = walk.reveal(out.data.reshape(1, -1), reveal)
    walk.steps.append(Output(opened.shape[1]))
    return Schedule(tuple(walk.steps))
