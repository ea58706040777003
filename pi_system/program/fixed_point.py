"""Plaintext fixed-point interpreter: the integer oracle of the secure run.

It shares no code with the secure kernels: int64 tensors, torch's integer convolution. Every value is the signed
representative mod 2^l. Shifts round to the nearest integer, and signs are exact, as those of gates that compare shares;
with ``coins`` shifts round to either neighbour at random, as truncation pairs do, and signs of which few bits are
compared are random near zero, by coins of their own (distributed as under ``fss``; under ``table`` the mean differs by
up to 2^-(g+2) ulps, see protocols/gate.py). The secure run differs from the former by the ulps of ``error_bound`` only.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Artifact, Masks
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import FixedPointRangeError
from pi_system.program.encoding import (
    IntWeights,
    encode_input,
    logits_to_float,
    pool_factor,
    quantise_weights,
    wrap,
)
from pi_system.program.interpreter import Interpreter
from pi_system.program.random_sign import kept, tournament, windows
from pi_system.ring.prg import Prg

IntArray = NDArray[np.int64]
_EXACT_FLOAT = 1 << 53
"""Integers up to this are exact in float64."""


class FixedInterpreter(Interpreter[IntArray]):
    """Integers mod 2^l: values are int64 (N, *shape), each at its node's fraction bits."""

    def __init__(
        self,
        ring: RingConfig,
        masks: Masks,
        weights: IntWeights,
        *,
        check_range: bool = False,
        coins: Prg | None = None,
    ) -> None:
        """Hold the network's integers.

        Args:
            ring: fixed-point parameters.
            masks: ReLU map.
            weights: from ``quantise_weights``.
            check_range: raise FixedPointRangeError when a compared value reaches ``RingConfig.limit`` (an entry of a
                max-pool, which compares differences, half of it), where the secure comparison is undefined, or a
                squared one, where the result may wrap; when any value wraps; and when a logit has more than its bits.
            coins: of stochastic rounding and random signs; None rounds to nearest and compares all bits.
        """
        self._ring = ring
        self._masks = masks
        self._weights = weights
        self._check_range = check_range
        self._coins = coins

    def run(self, graph: ops.Graph, value: IntArray) -> IntArray:
        """Integer logits (N, classes) of encoded pictures (N, C, H, W)."""
        logits = super().run(graph, value)
        self._check_below(graph.output, logits, 1 << (self._ring.logit_bits - 1))
        return logits

    def input(self, node: ops.Input, value: IntArray) -> IntArray:
        """The pictures, encoded."""
        return value

    def weighted(self, node: ops.WeightedNode, x: IntArray) -> IntArray:
        """Integer convolution or product, bias added."""
        weight, bias = self._weights[f"{node.name}.weight"], self._weights[f"{node.name}.bias"]
        return self._wrap(node, _product(node, x, weight) + bias.reshape(-1, *(1,) * (len(node.shape) - 1)))

    def relu(self, node: ops.Relu, x: IntArray) -> IntArray:
        """The shift on all positions, then max(x, 0) on the active ones."""
        mask = self._masks.get(node.name)
        self._check(node, x if mask is None else x[:, mask])
        rounded = self._rounded(node, x)
        unseen = self._ring.unseen_bits(node)
        if self._coins is None or unseen == 0:
            positive = np.maximum(rounded, 0)
        else:
            positive = np.where(kept(x, self._ring.shift(node) + unseen, self._coins), rounded, 0)
        return positive if mask is None else np.where(mask, positive, rounded)

    def square(self, node: ops.Square, x: IntArray) -> IntArray:
        """x * x, exactly, on the active positions, x at the result's scale elsewhere; ``halvings`` are in the scale."""
        mask = self._masks.get(node.name)
        self._check(node, x if mask is None else x[:, mask])
        squared = self._biased(node, x * x)
        if mask is not None:
            squared = np.where(mask, squared, x << -self._ring.shift(node))
        return self._wrap(node, squared)

    def select(self, node: ops.Select, x: IntArray) -> IntArray:
        """Zero but on the active positions."""
        return x * self._masks[node.name]

    def add(self, node: ops.Add, a: IntArray, b: IntArray) -> IntArray:
        """Sum at the finer of the two scales."""
        left, right = self._aligned(node, [a, b])
        return self._wrap(node, left + right)

    def concat(self, node: ops.Concat, xs: list[IntArray]) -> IntArray:
        """Concatenation at the finest scale."""
        return np.concatenate(self._aligned(node, xs), axis=1)

    def flatten(self, node: ops.Flatten, x: IntArray) -> IntArray:
        """(N, C, H, W) to (N, C * H * W)."""
        return x.reshape(len(x), -1)

    def avgpool(self, node: ops.AvgPool2d, x: IntArray) -> IntArray:
        """Window sums, times the reciprocal where the window is no power of two."""
        sums = windows(x, node, 0).sum(axis=(-1, -2), dtype=np.int64)
        return self._wrap(node, sums * pool_factor(node, self._ring))

    def maxpool(self, node: ops.MaxPool2d, x: IntArray) -> IntArray:
        """Maximum over windows; padding never wins."""
        self._check_below(node.name, x, self._ring.limit(node) // 2)  # so that any two differ by less than the limit
        unseen, coins = self._ring.unseen_bits(node), self._coins
        if coins is None or unseen == 0:
            return np.asarray(windows(x, node, np.iinfo(np.int64).min).max(axis=(-1, -2)), dtype=np.int64)
        lowest = -(1 << (self._ring.comparison_bits[node.name] - 2)) + (1 << unseen >> 1) + 1
        return tournament(windows(x, node, lowest), lambda difference: kept(difference, unseen, coins))

    def gather(self, node: ops.Gather, x: IntArray) -> IntArray:
        """Elements at the node's positions, zeros where there is none."""
        index = node.indices()
        return np.where(index < 0, 0, x.reshape(len(x), -1)[:, index])

    def affine(self, node: ops.Affine, x: IntArray) -> IntArray:
        """x or -x, plus a bias a channel at the same scale."""
        return self._wrap(node, self._biased(node, -x if node.negated else x))

    def _biased(self, node: ops.Square | ops.Affine, x: IntArray) -> IntArray:
        if not node.biased:
            return x
        return x + self._weights[f"{node.name}.bias"].reshape(-1, *(1,) * (len(node.shape) - 1))

    def truncate(self, node: ops.Truncate, x: IntArray) -> IntArray:
        """The shift."""
        return self._rounded(node, x)

    def _rounded(self, node: ops.Relu | ops.Truncate, x: IntArray) -> IntArray:
        shift = self._ring.shift(node)
        if self._coins is None or shift == 0:
            return (x + (1 << shift >> 1)) >> shift
        return to_a_neighbour(x, shift, self._coins)

    def _wrap(self, node: ops.Node, values: IntArray) -> IntArray:
        self._check_below(node.name, values, 1 << (self._ring.ring_bits - 1))
        return wrap(values, self._ring.ring_bits)

    def _aligned(self, node: ops.Add | ops.Concat, xs: list[IntArray]) -> list[IntArray]:
        return [self._wrap(node, x << shift) for x, shift in zip(xs, self._ring.alignments(node), strict=True)]

    def _check(self, node: ops.Node, values: IntArray) -> None:
        self._check_below(node.name, values, self._ring.limit(node))

    def _check_below(self, name: str, values: IntArray, bound: int) -> None:
        if self._check_range and values.size and not (-bound < values.min() and values.max() < bound):
            raise FixedPointRangeError(f"node {name}: expected values below {bound} in magnitude")


def to_a_neighbour(x: IntArray, shift: int, coins: Prg) -> IntArray:
    """x / 2^shift rounded down, or up with the probability of its fraction: as truncation pairs do."""
    return (x + coins.ring(x.shape, shift).astype(np.int64)) >> shift


def _product(node: ops.WeightedNode, x: IntArray, weight: IntArray) -> IntArray:
    """The layer on integers mod 2^64, in float64, where sums up to 2^53 are exact, digit by digit of ``x``."""
    if isinstance(node, ops.Conv2d) and node.groups == node.in_channels == node.shape[0]:
        return _depthwise(node, x, weight)
    row = max(1, int(np.abs(weight).reshape(len(weight), -1).sum(axis=1).max()))
    factors, total = torch.from_numpy(weight).double(), np.zeros((), np.int64)
    for place, digit in _digits(x, (_EXACT_FLOAT // row).bit_length()):
        total = total + (_applied(node, torch.from_numpy(digit).double(), factors).long().numpy() << place)
    return total


def _digits(x: IntArray, bits: int) -> Iterator[tuple[int, IntArray]]:
    """``x`` as a sum of 2^place times digits of at most 2^(bits - 1) in size."""
    for place in range(0, 64, bits):
        if max(-int(x.min(initial=0)), int(x.max(initial=0))) <= 1 << (bits - 1):
            yield place, x
            return
        digit = wrap(x, bits)
        yield place, digit
        x = (x - digit) >> bits


def _depthwise(node: ops.Conv2d, x: IntArray, weight: IntArray) -> IntArray:
    """A product a tap: torch runs these channel by channel."""
    (ph, pw), (sh, sw), (_, height, width) = node.padding, node.stride, node.shape
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    out = np.zeros((len(x), *node.shape), np.int64)
    for i, j in np.ndindex(*node.kernel):
        view = padded[:, :, i : i + sh * (height - 1) + 1 : sh, j : j + sw * (width - 1) + 1 : sw]
        out += view * weight[:, 0, i, j, None, None]
    return out


def _applied(node: ops.WeightedNode, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if isinstance(node, ops.Linear):
        return x @ weight.T
    return F.conv2d(x, weight, None, node.stride, node.padding, groups=node.groups)


def fixed_logits(
    artifact: Artifact, pictures: NDArray[np.floating], *, check_range: bool = False
) -> tuple[IntArray, NDArray[np.float64]]:
    """Integer and real logits (N, classes) of preprocessed pictures (N, C, H, W); see FixedInterpreter."""
    graph, ring = artifact.public.graph, artifact.public.ring
    weights = quantise_weights(graph, ring, artifact.weights)
    interpreter = FixedInterpreter(ring, artifact.masks, weights, check_range=check_range)
    logits = interpreter.run(graph, encode_input(pictures, graph, ring))
    return logits, logits_to_float(logits, graph, ring)
