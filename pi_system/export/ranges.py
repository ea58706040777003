"""Calibrated ranges of every value of a network, and the chance that another picture leaves them."""

from dataclasses import dataclass, field
from math import ceil, exp, inf, log, log2, pi, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact.graph import Graph, MaxPool2d, Node, Relu, Square
from pi_system.artifact.model import Masks, Weights
from pi_system.errors import FixedPointRangeError
from pi_system.program.float_point import FloatInterpreter

# The standard deviation of a picture's peak is taken as at least 5 % of its mean, and as 25 % when there is only
# one calibration picture. Upside: few pictures do not give a false certainty; downside: up to one bit more.
_MIN_DEVIATION = 0.05
_LONE_DEVIATION = 0.25


@dataclass
class Ranges:
    """Peaks |v| per calibration picture, (N,), by node.

    Attributes:
        output: of every node's value, all positions.
        compared: of what a ReLU or a max-pool compares, or a square squares (active positions only), by that node.
        logits: the float logits (N, classes) of the calibration pictures.
    """

    output: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    compared: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    logits: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))


class _Recorder(FloatInterpreter):
    def __init__(self, masks: Masks, weights: Weights) -> None:
        super().__init__(masks, weights, observe=self._record)
        self.ranges = Ranges()

    def _record(self, node: Node, value: Tensor) -> None:
        self.ranges.output[node.name] = _peaks(value)

    def relu(self, node: Relu, x: Tensor) -> Tensor:
        mask = self._masks.get(node.name)
        self.ranges.compared[node.name] = _peaks(x if mask is None else x[:, mask])
        return super().relu(node, x)

    def square(self, node: Square, x: Tensor) -> Tensor:
        mask = self._masks.get(node.name)
        self.ranges.compared[node.name] = _peaks(x if mask is None else x[:, mask])
        return super().square(node, x)

    def maxpool(self, node: MaxPool2d, x: Tensor) -> Tensor:
        self.ranges.compared[node.name] = _peaks(x)
        return super().maxpool(node, x)


def _peaks(value: Tensor) -> NDArray[np.float64]:
    return value.detach().flatten(1).abs().amax(dim=1).double().numpy()


def calibrate(graph: Graph, masks: Masks, weights: Weights, pictures: NDArray[np.float32]) -> Ranges:
    """Run the float interpreter on ``pictures`` (N, C, H, W), preprocessed, and record every value's peaks.

    Raises:
        FixedPointRangeError: a value overflows float32, as deep squares can.
    """
    recorder = _Recorder(masks, weights)
    logits = recorder.run(graph, torch.from_numpy(np.ascontiguousarray(pictures)))
    recorder.ranges.logits = logits.double().numpy()
    for name, peaks in recorder.ranges.output.items():
        if not np.isfinite(peaks).all():
            raise FixedPointRangeError(f"node {name}: expected finite values on the calibration pictures")
    return recorder.ranges


def tail_log2(peaks: NDArray[np.float64], limit: float) -> float:
    """Base-2 logarithm of the estimated chance that a picture's peak exceeds ``limit``.

    The peak of many values follows, in the limit, a Gumbel distribution; it is fitted by moments:
    P(peak > limit) <= exp(-(limit - mode) / scale). An estimate from the calibration pictures, not a proof.
    """
    mean = float(peaks.mean())
    if mean == 0.0:
        return -1000.0
    deviation = max(float(peaks.std()), (_MIN_DEVIATION if len(peaks) > 1 else _LONE_DEVIATION) * mean)
    scale = deviation * sqrt(6) / pi
    mode = mean - 0.5772 * scale
    return max(-1000.0, min(0.0, -(limit - mode) / scale / log(2)))


def integer_bits(peaks: NDArray[np.float64], margin_bits: int, overflow_log2: float) -> int:
    """Smallest I such that 2^I is ``margin_bits`` over the largest peak and the tail beyond it is small enough."""
    largest = float(peaks.max(initial=0.0))
    if largest == 0.0:
        return 0
    bits = ceil(log2(largest)) + margin_bits
    while tail_log2(peaks, 2.0**bits) > overflow_log2:
        bits += 1
    return bits


def sum_log2(terms: list[float]) -> float:
    """Base-2 logarithm of the sum of 2^t, at least -1000."""
    largest = max(terms, default=-inf)
    if largest <= -1000.0:
        return -1000.0
    return largest + log2(sum(exp((term - largest) * log(2)) for term in terms))
