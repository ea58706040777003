"""One way to give every node of a graph its fraction bits: a walk that also inserts the truncations it needs.

A square doubles the fraction bits of its operand, so the operand is truncated to those of an activation before, and
the result again where a layer multiplies it. Both are truncation pairs, whose chance to fail asks for a ring of more
than 32 bits.
"""

from dataclasses import dataclass, field
from math import ceil, floor, log2, prod

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Gather,
    Graph,
    Input,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Select,
    Square,
    Truncate,
)
from pi_system.artifact.model import Weights
from pi_system.artifact.ring_check import multiplies, output_frac_bits
from pi_system.artifact.ring_config import RingConfig
from pi_system.export.ranges import Ranges, integer_bits, largest_sum, sum_log2, tail_log2
from pi_system.program.encoding import WEIGHT_BITS

MAX_TRUNCATION_LOG2 = -16.0
"""Truncation pairs may fail somewhere in one inference with probability 2^-16 (protocols/truncation)."""

# How far the input of a multiplying layer may be above the activations' fraction bits without being truncated
# first: room for the scale an average pool adds.
_SLACK_BITS = 6
# Reciprocals of average pools are systematic errors, so they get this many bits more than weights.
_RECIPROCAL_BITS = 3
_MOST_FRAC_BITS = 62
"""That a RingConfig holds, with a bit to spare."""
_PLAIN_FOLLOWERS = (Add, Affine, Concat, Flatten, Gather, MaxPool2d, Select, Truncate)


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    """What a plan is made for.

    Attributes:
        ring_bits: l.
        frac_bits: fraction bits of activations.
        weight_bits: a layer's weights get so many fraction bits that their root mean square is about
            2^weight_bits (fewer if the ring or 16 signed bits do not hold them).
        margin_bits: room above the largest calibrated value.
        overflow_log2: bound asked for on the chance that a picture leaves any range.
        truncate_before_relu: where truncations without a gate are allowed, drop fraction bits before a ReLU, not in it.
        carry: let a scale grow from layer to layer as far as the ring holds it, for a ReLU to drop its bits exactly,
            instead of truncating before the next layer, which may fail.
    """

    ring_bits: int
    frac_bits: int
    weight_bits: int
    margin_bits: int = 1
    overflow_log2: float = -20.0
    truncate_before_relu: bool = False
    carry: bool = False

    @property
    def free_truncation(self) -> bool:
        """Whether the ring is wide enough for truncations without a gate."""
        return self.ring_bits > 32


@dataclass(frozen=True)
class ScalePlan:
    """A graph, with truncations, and its ring parameters."""

    graph: Graph
    ring: RingConfig


def assign_scales(graph: Graph, weights: Weights, ranges: Ranges, options: ScaleOptions) -> ScalePlan | None:
    """Choose every node's fraction bits under ``options``; None if the network does not fit that ring."""
    walk = _Walk(graph, weights, ranges, options)
    for node in graph:
        if not walk.place(node):
            return None
    return walk.finish()


@dataclass
class _Walk:
    graph: Graph
    weights: Weights
    ranges: Ranges
    options: ScaleOptions
    nodes: list[Node] = field(default_factory=list)
    frac_bits: dict[str, int] = field(default_factory=dict)
    weight_frac_bits: dict[str, int] = field(default_factory=dict)
    comparison_bits: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    truncations: list[float] = field(default_factory=list)
    overflows: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.integer = self._integer_bits()
        self.sums = dict(self.ranges.sums)

    def _integer_bits(self) -> dict[str, int]:
        """I of every node, where |v| < 2^I: its own range, and that of sums its value enters unchanged."""
        share, margin = self._share(), self.options.margin_bits
        bits = {name: integer_bits(peaks, margin, share) for name, peaks in self.ranges.channels.items()}
        self.compared = {
            name: integer_bits(peaks, margin, share) for name, peaks in self.ranges.compared_channels.items()
        }
        for node in reversed(self.graph.nodes):
            if isinstance(node, Conv2d | Linear) or (isinstance(node, Square | Affine) and node.biased):
                largest = float(np.abs(self.weights[f"{node.name}.bias"]).max())
                bits[node.name] = max(bits[node.name], ceil(log2(largest)) + 1 if largest else 0)
            if isinstance(node, _PLAIN_FOLLOWERS):
                for name in node.inputs:
                    bits[name] = max(bits[name], bits[node.name])
        return bits

    def _share(self) -> float:
        """Of one range in the chance that a picture leaves any, as its base-2 logarithm."""
        return self.options.overflow_log2 - log2(2 * len(self.graph.nodes))

    def place(self, node: Node) -> bool:
        """Append ``node`` with its scale; False if its value does not fit the ring."""
        if multiplies(node):
            self._truncate_above(node.inputs[0], self._most_frac_bits(node))
        if isinstance(node, Square) or (isinstance(node, Relu) and self.options.truncate_before_relu):
            self._truncate_above(node.inputs[0], self.options.frac_bits)
        placed = node.model_copy(update={"inputs": tuple(self.renamed.get(name, name) for name in node.inputs)})
        operands = [self.frac_bits[name] for name in placed.inputs]
        if multiplies(node):
            self.weight_frac_bits[node.name] = self._weight_frac_bits(node, operands[0])
            if self.weight_frac_bits[node.name] < 0:
                return False
        found = output_frac_bits(placed, operands, self.weight_frac_bits.get(node.name, 0))
        frac_bits = self._free_frac_bits(placed, operands) if found is None else found
        self.frac_bits[node.name] = frac_bits
        self.nodes.append(placed)
        if isinstance(node, Relu | MaxPool2d | Square):
            self._compare(node, operands[0])
        if isinstance(node, Square) and 2 * self.comparison_bits[node.name] - 1 > self.options.ring_bits:
            return False
        if node.name == self.graph.output and self.integer[node.name] + frac_bits < 2:
            return False  # less than a bit of a logit beside its sign
        room = self.options.ring_bits - 1 - frac_bits
        self.overflows.append(tail_log2(self.ranges.channels[node.name], 2.0**room))
        return self.integer[node.name] <= room and frac_bits <= min(_MOST_FRAC_BITS, self.options.ring_bits - 1)

    def _most_frac_bits(self, node: Node) -> int:
        """How many fraction bits the operand of ``node``, which multiplies, may have without being truncated."""
        if not self.options.carry:
            return self.options.frac_bits + _SLACK_BITS
        return max(self.options.frac_bits, self._room(node) - self._wanted_frac_bits(node))

    def _free_frac_bits(self, node: Node, operands: list[int]) -> int:
        if isinstance(node, Input):
            return self.options.frac_bits
        if isinstance(node, Relu) and node.masked and not self.options.free_truncation:
            return operands[0]  # inactive positions cannot be truncated, so the scale is carried on
        frac_bits = min(operands[0], self.options.frac_bits - self._pooled_bits(node))
        if isinstance(node, Relu) and frac_bits < operands[0]:
            self._count_truncation(node.inputs[0], prod(node.shape) - node.active, operands[0], frac_bits)
        return frac_bits

    def _pooled_bits(self, node: Node) -> int:
        """Fraction bits a value can spare because only averages of it are used: rounding errors average out, too."""
        areas = [prod(user.kernel) for user in self._users(node.name) if isinstance(user, AvgPool2d)]
        spare = [(area.bit_length() - 1) // 2 for area in areas]
        return min(spare) if spare and len(spare) == len(self._users(node.name)) else 0

    def _users(self, name: str) -> list[Node]:
        return [node for node in self.graph if name in node.inputs]

    def _weight_frac_bits(self, node: Node, operand: int) -> int:
        return min(self._wanted_frac_bits(node), self._room(node) - operand)

    def _room(self, node: Node) -> int:
        """The most fraction bits that the ring leaves the value of ``node``."""
        room = self.options.ring_bits - 1 - max(0, self.integer[node.name])
        if node.name == self.graph.output:
            room -= 1  # logit_bits < ring_bits
        return min(room, _MOST_FRAC_BITS)

    def _wanted_frac_bits(self, node: Node) -> int:
        if isinstance(node, AvgPool2d):
            return min(self.options.weight_bits + _RECIPROCAL_BITS + prod(node.kernel).bit_length(), 62)
        return _fitting_frac_bits(self.weights[f"{node.name}.weight"], self.options.weight_bits)

    def _truncate_above(self, name: str, limit: int) -> None:
        name = self.renamed.get(name, name)
        if not self.options.free_truncation or self.frac_bits[name] <= limit:
            return
        source = next(node for node in self.nodes if node.name == name)
        node = Truncate(name=f"{name}.truncate"[-128:], inputs=(name,), shape=source.shape)
        self._count_truncation(name, prod(source.shape), self.frac_bits[name], self.options.frac_bits)
        self.nodes.append(node)
        self.renamed[name] = node.name
        self.frac_bits[node.name] = self.options.frac_bits
        self.integer[node.name] = self.integer[name]
        self.sums[node.name] = self.sums[name]

    def _count_truncation(self, name: str, elements: int, operand: int, frac_bits: int) -> None:
        """``elements`` positions of the value of ``name`` fail with (|y| + 2^t) / 2^l each (protocols/truncation).

        Their sum is bounded by that of all positions on the calibration pictures, with the room that ranges have: a
        typical value is far below the largest.
        """
        if elements:
            bound = largest_sum(self.sums[name], self.options.margin_bits, self._share())
            integers = bound * 2.0**operand + elements * 2.0 ** (operand - frac_bits)
            self.truncations.append(log2(integers) - self.options.ring_bits)

    def _compare(self, node: Node, operand: int) -> None:
        shift = operand - self.frac_bits[node.name]
        doubled = int(isinstance(node, MaxPool2d))  # a max-pool compares differences
        bits = max(self.compared[node.name] + operand + 1 + doubled, shift + 2, 2 + doubled)
        self.comparison_bits[node.name] = min(bits, self.options.ring_bits)
        limit = 2.0 ** (self.comparison_bits[node.name] - 1 - doubled - operand)
        if shift:
            limit -= 2.0 ** (shift - operand)
        self.overflows.append(tail_log2(self.ranges.compared_channels[node.name], limit))

    def finish(self) -> ScalePlan | None:
        """The plan; None if truncations without a gate would fail too often."""
        truncation = sum_log2(self.truncations)
        if truncation > MAX_TRUNCATION_LOG2:
            return None
        ring = RingConfig(
            ring_bits=self.options.ring_bits,
            frac_bits=self.frac_bits,
            weight_frac_bits=self.weight_frac_bits,
            comparison_bits=self.comparison_bits,
            logit_bits=self.integer[self.graph.output] + self.frac_bits[self.graph.output] + 1,
            overflow_log2=min(0.0, sum_log2(self.overflows)),
            truncation_log2=truncation,
        )
        return ScalePlan(Graph(nodes=tuple(self.nodes)), ring)


def _fitting_frac_bits(weight: NDArray[np.float32], weight_bits: int) -> int:
    """Fraction bits that give the weights a root mean square of 2^weight_bits, and fit 16 signed bits."""
    largest = float(np.abs(weight).max())
    if largest == 0.0:
        return weight_bits
    wanted = weight_bits - floor(log2(float(np.sqrt(np.mean(np.square(weight, dtype=np.float64))))))
    return min(max(wanted, 0), floor(log2((2 ** (WEIGHT_BITS - 1) - 1) / largest)), 62)
