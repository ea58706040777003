"""How far the secure run may be from the fixed-point oracle: a rigorous interval for every logit.

Each shift of the secure run rounds to one of the two neighbouring integers, the oracle to the nearest: they differ by
at most one ulp (protocols/gate.py, protocols/truncation). These intervals are carried through the graph: linear layers
by interval arithmetic with the integer weights, ReLU and max-pool as monotone 1-Lipschitz functions, shifts rounding
outwards. Where a comparison does not see g bits, a positive value of less than 2^(g-1) ulps may be dropped and a
negative one kept, so a ReLU loses at most 2^(g-1), and a max-pool that at every level of its tournament. A square is
exact, and what it squares satisfies |x| < 2^(k-1), so an error e there becomes at most 2^k |e| + e^2. The bound holds
for every input within range whose truncations do not fail (RingConfig.truncation_log2); it grows with depth, so for
deep networks it is much larger than any error seen, and with many squares it ends at 2^l and says nothing.
"""

from math import prod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Artifact, Masks
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.encoding import IntWeights, pool_factor, quantise_weights
from pi_system.program.interpreter import Interpreter

# Bounds are float64: exact up to 2^53, and widened by this factor after every sum, which covers its rounding.
_WIDEN = 1.0 + 2.0**-40


class ErrorInterval(NamedTuple):
    """low <= secure - fixed <= high, element-wise, in ulps of the value: float64 (1, *shape)."""

    low: Tensor
    high: Tensor


class _ErrorInterpreter(Interpreter[ErrorInterval]):
    """Intervals of the error; the interval of an exact value is [0, 0]."""

    def __init__(self, ring: RingConfig, masks: Masks, weights: IntWeights) -> None:
        self._ring = ring
        self._masks = masks
        self._weights = weights

    def input(self, node: ops.Input, value: ErrorInterval) -> ErrorInterval:
        return value

    def weighted(self, node: ops.WeightedNode, x: ErrorInterval) -> ErrorInterval:
        weight = torch.from_numpy(self._weights[f"{node.name}.weight"]).double()
        plus, minus = weight.clamp(min=0), weight.clamp(max=0)

        def apply(kernel: Tensor, value: Tensor) -> Tensor:
            if isinstance(node, ops.Linear):
                return value @ kernel.T
            return F.conv2d(value, kernel, None, node.stride, node.padding, groups=node.groups)

        low = apply(plus, x.low) + apply(minus, x.high)
        high = apply(plus, x.high) + apply(minus, x.low)
        return ErrorInterval(low * _WIDEN, high * _WIDEN)

    def relu(self, node: ops.Relu, x: ErrorInterval) -> ErrorInterval:
        shift = self._ring.shift(node)
        clamped = ErrorInterval(x.low.clamp(max=0), x.high.clamp(min=0))
        active = _lowered(_shifted(clamped, shift), self._ring.unseen_bits(node), 1)
        mask = self._masks.get(node.name)
        if mask is None:
            return active
        passed, where = _shifted(x, shift), torch.from_numpy(mask)
        return ErrorInterval(torch.where(where, active.low, passed.low), torch.where(where, active.high, passed.high))

    def square(self, node: ops.Square, x: ErrorInterval) -> ErrorInterval:
        error = torch.maximum(-x.low, x.high)
        bound = error * (error + 2.0 ** self._ring.comparison_bits[node.name]) * _WIDEN
        bound = bound.clamp(max=2.0**self._ring.ring_bits)  # representatives mod 2^l are never further apart
        mask = self._masks.get(node.name)
        if mask is None:
            return ErrorInterval(-bound, bound)
        scale, where = 2.0 ** -self._ring.shift(node), torch.from_numpy(mask)
        return ErrorInterval(torch.where(where, -bound, x.low * scale), torch.where(where, bound, x.high * scale))

    def select(self, node: ops.Select, x: ErrorInterval) -> ErrorInterval:
        mask = torch.from_numpy(self._masks[node.name])
        return ErrorInterval(x.low * mask, x.high * mask)

    def add(self, node: ops.Add, a: ErrorInterval, b: ErrorInterval) -> ErrorInterval:
        left, right = self._aligned(node, [a, b])
        return ErrorInterval((left.low + right.low) * _WIDEN, (left.high + right.high) * _WIDEN)

    def concat(self, node: ops.Concat, xs: list[ErrorInterval]) -> ErrorInterval:
        aligned = self._aligned(node, xs)
        return ErrorInterval(torch.cat([x.low for x in aligned], 1), torch.cat([x.high for x in aligned], 1))

    def flatten(self, node: ops.Flatten, x: ErrorInterval) -> ErrorInterval:
        return ErrorInterval(x.low.flatten(1), x.high.flatten(1))

    def avgpool(self, node: ops.AvgPool2d, x: ErrorInterval) -> ErrorInterval:
        factor = pool_factor(node, self._ring) * _WIDEN

        def sums(value: Tensor) -> Tensor:
            return F.avg_pool2d(value, node.kernel, node.stride, node.padding, divisor_override=1) * factor

        return ErrorInterval(sums(x.low), sums(x.high))

    def maxpool(self, node: ops.MaxPool2d, x: ErrorInterval) -> ErrorInterval:
        def largest(value: Tensor) -> Tensor:
            return F.max_pool2d(value, node.kernel, node.stride, node.padding)

        levels = (prod(node.kernel) - 1).bit_length()
        return _lowered(ErrorInterval(-largest(-x.low), largest(x.high)), self._ring.unseen_bits(node), levels)

    def gather(self, node: ops.Gather, x: ErrorInterval) -> ErrorInterval:
        index = torch.from_numpy(node.indices())

        def gathered(value: Tensor) -> Tensor:
            return value.flatten(1)[:, index.clamp(min=0)] * (index >= 0)

        return ErrorInterval(gathered(x.low), gathered(x.high))

    def affine(self, node: ops.Affine, x: ErrorInterval) -> ErrorInterval:
        return ErrorInterval(-x.high, -x.low) if node.negated else x

    def truncate(self, node: ops.Truncate, x: ErrorInterval) -> ErrorInterval:
        return _shifted(x, self._ring.shift(node))

    def _aligned(self, node: ops.Add | ops.Concat, xs: list[ErrorInterval]) -> list[ErrorInterval]:
        factors = (2.0**shift for shift in self._ring.alignments(node))
        return [ErrorInterval(x.low * k, x.high * k) for x, k in zip(xs, factors, strict=True)]


def _shifted(x: ErrorInterval, shift: int) -> ErrorInterval:
    """Error after dropping ``shift`` bits by a protocol that rounds to either neighbour.

    For d in [low, high], floor((a + d) / 2^s) - floor(a / 2^s) lies in [floor(low / 2^s), ceil(high / 2^s)]; the
    oracle rounds a to that floor or to one more, the protocol a + d likewise.
    """
    if shift == 0:
        return x
    scale = 2.0**-shift
    return ErrorInterval(torch.floor(x.low * scale) - 1, torch.ceil(x.high * scale) + 1)


def _lowered(x: ErrorInterval, unseen_bits: int, comparisons: int) -> ErrorInterval:
    """Error after ``comparisons`` one after the other that do not see the low bits; see the module's text."""
    return ErrorInterval(x.low - comparisons * (1 << unseen_bits >> 1), x.high)


def ulp_bound(graph: ops.Graph, ring: RingConfig, masks: Masks, weights: IntWeights) -> NDArray[np.float64]:
    """Bound of |secure - fixed| of each logit, (classes,), in ulps of the logits; see the module's text.

    Args:
        graph: the network.
        ring: its fixed-point parameters.
        masks: its ReLU map.
        weights: from ``quantise_weights``.
    """
    exact = torch.zeros(1, *graph.input.shape, dtype=torch.float64)
    error = _ErrorInterpreter(ring, masks, weights).run(graph, ErrorInterval(exact, exact))
    bound = torch.maximum(-error.low, error.high)[0]
    return np.asarray(torch.ceil(bound).numpy(), dtype=np.float64)


def artifact_ulp_bound(artifact: Artifact) -> NDArray[np.float64]:
    """``ulp_bound`` of a whole artifact."""
    graph, ring = artifact.public.graph, artifact.public.ring
    return ulp_bound(graph, ring, artifact.masks, quantise_weights(graph, ring, artifact.weights))
