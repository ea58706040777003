"""What a candidate for the ring parameters costs in accuracy: fixed-point logits beside the float ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph, Relu, Truncate
from pi_system.artifact.model import Masks, Weights
from pi_system.artifact.ring_check import check_ring
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import ArtifactError, FixedPointRangeError
from pi_system.export.nearness import nearness
from pi_system.export.ranges import Ranges
from pi_system.export.rounding import rounded_weights
from pi_system.export.scales import ScaleOptions, ScalePlan, assign_scales
from pi_system.program.encoding import IntWeights, encode_input, logits_to_float, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter, IntArray, to_a_neighbour
from pi_system.ring.prg import SEED_BYTES, Prg

_BATCH = 8


class _Watching(FixedInterpreter):
    """Goes on where a value leaves its range, and remembers the first that did.

    What no gate rounds is rounded by coins, as every backend does: to the nearest integer it might be exact by luck.
    """

    def __init__(self, ring: RingConfig, masks: Masks, weights: IntWeights) -> None:
        super().__init__(ring, masks, weights, check_range=True)
        self.left = ""
        self._draws = Prg(bytes(SEED_BYTES))

    def _check_below(self, name: str, values: IntArray, bound: int) -> None:
        try:
            super()._check_below(name, values, bound)
        except FixedPointRangeError as error:
            self.left = self.left or str(error)

    def _rounded(self, node: Relu | Truncate, x: IntArray) -> IntArray:
        nearest, shift = super()._rounded(node, x), self._ring.shift(node)
        active = self._masks.get(node.name, isinstance(node, Relu))
        if shift == 0 or active is True:
            return nearest
        return np.where(active, nearest, to_a_neighbour(x, shift, self._draws))


@dataclass(frozen=True)
class Quantised:
    """A plan with what it showed on the calibration pictures that judged it, all bits compared.

    Attributes:
        plan: the graph with its ring parameters.
        max_error: the largest |fixed - float| of a logit.
        relative_error: the same as a share of how far float logits are apart, of the output where that is most.
        agreement: share of the pictures whose label is the float network's, of the output where that is least.
        pictures: how many judged it.
        left: which value left its range on one of them, empty: none.
    """

    plan: ScalePlan
    max_error: float
    relative_error: float
    agreement: float
    pictures: int
    left: str = ""

    def within(self, error: float) -> bool:
        """Whether ``relative_error`` is at most that, and no value left its range."""
        return self.relative_error <= error and not self.left


@dataclass(frozen=True)
class Judge:
    """Tries candidates out on the first of the calibration ``pictures`` (N, C, H, W) of ``ranges``."""

    graph: Graph
    masks: Masks
    weights: Weights
    pictures: NDArray[np.float32]
    ranges: Ranges

    def plan(self, candidate: ScaleOptions) -> ScalePlan | None:
        """The plan of a candidate; None if the network does not fit it."""
        plan = assign_scales(self.graph, self.weights, self.ranges, candidate)
        if plan is None:
            return None
        try:
            check_ring(plan.graph, plan.ring)
            quantise_weights(plan.graph, plan.ring, self.weights)
        except (ArtifactError, FixedPointRangeError):
            return None
        return plan

    def rounded(self, plan: ScalePlan) -> Weights:
        """The weights that go with a plan; see export/rounding.py."""
        return rounded_weights(plan.graph, plan.ring, self.weights, self.ranges)

    def measured(self, plan: ScalePlan, count: int) -> Quantised:
        """``plan`` on the first ``count`` pictures."""
        integers = quantise_weights(plan.graph, plan.ring, self.rounded(plan))
        interpreter, runs = _Watching(plan.ring, self.masks, integers), []
        for first in range(0, min(count, len(self.pictures)), _BATCH):
            batch = self.pictures[first : min(first + _BATCH, count)]
            runs.append(interpreter.run(plan.graph, encode_input(batch, plan.graph, plan.ring)))
        logits = logits_to_float(np.concatenate(runs), plan.graph, plan.ring)
        exact = self.ranges.logits[: len(logits)]
        near = nearness(logits, exact, self.ranges.parts, self.ranges.logits)
        error = float(np.abs(logits - exact).max())
        return Quantised(plan, error, near.error, near.agreement, len(logits), interpreter.left)
