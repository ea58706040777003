"""Calibrated ranges of every value of a network, and the chance that another picture leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, exp, inf, log, log2, pi, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact.graph import Conv2d, Graph, MaxPool2d, Node, Relu, Square, WeightedNode
from pi_system.artifact.model import Masks, Weights
from pi_system.errors import FixedPointRangeError
from pi_system.program.float_point import FloatInterpreter

# The standard deviation of a picture's peak is taken as at least 5 % of its mean, and as 25 % when there is only
# one calibration picture. Upside: few pictures do not give a false certainty; downside: up to one bit more.
_MIN_DEVIATION = 0.05
_LONE_DEVIATION = 0.25


_BATCH = 16
"""Pictures that are run at once."""


@dataclass
class Ranges:
    """Peaks |v| per calibration picture and channel, (N, C), by node.

    Attributes:
        channels: of every node's value, all positions.
        compared_channels: of what a ReLU or a max-pool compares, or a square squares (active positions only), by that
            node.
        sums: of |v| over a channel's positions, per calibration picture and channel, (N, C), by node.
        logits: the float logits (N, classes) of the calibration pictures.
        taps: what each weight of a weighted node is multiplied by on average over pictures and positions, zeros of the
            padding included: (C, kh, kw), or (C,), by that node.
        parts: how many elements each of the network's outputs has; empty: it has one.
    """

    channels: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    compared_channels: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    logits: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    taps: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    parts: tuple[int, ...] = ()

    def scaled(self, graph: Graph, factors: Mapping[str, NDArray[np.float64]]) -> "Ranges":
        """Ranges of the same network with channel c of node n multiplied by ``factors[n][c]``, logits by one.

        What a ReLU, a max-pool or a square compares has the factors of its result.
        """
        sources = {node.name: node.inputs[0] for node in graph.weighted}
        taps = {
            name: means * factors[sources[name]].reshape(-1, *(1,) * (means.ndim - 1))
            for name, means in self.taps.items()
        }
        return Ranges(
            channels={name: peaks * factors[name] for name, peaks in self.channels.items()},
            compared_channels={name: peaks * factors[name] for name, peaks in self.compared_channels.items()},
            sums={name: sums * factors[name] for name, sums in self.sums.items()},
            logits=self.logits,
            taps=taps,
            parts=self.parts,
        )


class _Recorder(FloatInterpreter):
    def __init__(self, masks: Masks, weights: Weights) -> None:
        super().__init__(masks, weights, observe=self._record)
        self.channels: dict[str, NDArray[np.float64]] = {}
        self.compared: dict[str, NDArray[np.float64]] = {}
        self.sums: dict[str, NDArray[np.float64]] = {}
        self.taps: dict[str, NDArray[np.float64]] = {}

    def _record(self, node: Node, value: Tensor) -> None:
        self.channels[node.name] = _peaks(value)
        self.sums[node.name] = value.detach().reshape(*value.shape[:2], -1).abs().double().sum(dim=2).numpy()

    def weighted(self, node: WeightedNode, x: Tensor) -> Tensor:
        self.taps[node.name] = _tap_means(node, x)
        return super().weighted(node, x)

    def relu(self, node: Relu, x: Tensor) -> Tensor:
        self.compared[node.name] = self._active(node, x)
        return super().relu(node, x)

    def square(self, node: Square, x: Tensor) -> Tensor:
        self.compared[node.name] = self._active(node, x)
        return super().square(node, x)

    def maxpool(self, node: MaxPool2d, x: Tensor) -> Tensor:
        self.compared[node.name] = _peaks(x)
        return super().maxpool(node, x)

    def _active(self, node: Node, x: Tensor) -> NDArray[np.float64]:
        mask = self._masks.get(node.name)
        return _peaks(x if mask is None else x * mask)


def _peaks(value: Tensor) -> NDArray[np.float64]:
    return value.detach().reshape(*value.shape[:2], -1).abs().amax(dim=2).double().numpy()


def _tap_means(node: WeightedNode, x: Tensor) -> NDArray[np.float64]:
    """Of a batch (N, ...); see ``Ranges.taps``."""
    if not isinstance(node, Conv2d):
        return np.asarray(x.double().mean(dim=0).numpy())
    (ph, pw), (sh, sw), (_, height, width) = node.padding, node.stride, node.shape
    sums = F.pad(x.double().sum(dim=0), (pw, pw, ph, ph))
    means = np.empty((node.in_channels, *node.kernel))
    for i, j in np.ndindex(*node.kernel):
        view = sums[:, i : i + sh * (height - 1) + 1 : sh, j : j + sw * (width - 1) + 1 : sw]
        means[:, i, j] = view.mean(dim=(1, 2)).numpy() / len(x)
    return means


def calibrate(
    graph: Graph, masks: Masks, weights: Weights, pictures: NDArray[np.float32], parts: Sequence[int] = ()
) -> Ranges:
    """Run the float interpreter on ``pictures`` (N, C, H, W), preprocessed, and record every value's peaks.

    ``parts``: see ``Ranges``.

    Raises:
        FixedPointRangeError: a value overflows float32, as deep squares can.
    """
    runs, logits = [], []
    for first in range(0, len(pictures), _BATCH):
        runs.append(_Recorder(masks, weights))
        batch = torch.from_numpy(np.ascontiguousarray(pictures[first : first + _BATCH]))
        logits.append(runs[-1].run(graph, batch).double().numpy())
    channels = {name: np.concatenate([run.channels[name] for run in runs]) for name in runs[0].channels}
    compared = {name: np.concatenate([run.compared[name] for run in runs]) for name in runs[0].compared}
    sums = {name: np.concatenate([run.sums[name] for run in runs]) for name in runs[0].sums}
    shares = [len(part) / len(pictures) for part in logits]
    taps = {
        name: np.sum([share * run.taps[name] for share, run in zip(shares, runs, strict=True)], axis=0)
        for name in runs[0].taps
    }
    for name, peaks in channels.items():
        if not np.isfinite(peaks).all():
            raise FixedPointRangeError(f"node {name}: expected finite values on the calibration pictures")
    return Ranges(channels, compared, sums, np.concatenate(logits), taps, tuple(parts))


def tail_log2(peaks: NDArray[np.float64], limit: float) -> float:
    """Base-2 logarithm of the estimated chance that a picture's peak exceeds ``limit``.

    The peak of many values follows, in the limit, a Gumbel distribution; it is fitted by moments:
    P(peak > limit) <= exp(-(limit - mode) / scale). An estimate from the calibration pictures, not a proof.

    Args:
        peaks: (N,), or of several channels (N, C): that any of them does. Channels have distributions of their own, and
            once they are scaled to one peak that of the largest tells little of where the others end.
        limit: the same for all.
    """
    mode, scale = _fitted(peaks)
    chances = np.clip(-(limit - mode) / scale / log(2), -1000.0, 0.0)
    return min(0.0, sum_log2(chances.tolist()))


def _fitted(peaks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mode and scale of each channel's Gumbel distribution, of channels that have values."""
    mean = np.atleast_1d(peaks.mean(axis=0))
    mean, deviation = mean[mean > 0], np.atleast_1d(peaks.std(axis=0))[mean > 0]
    deviation = np.maximum(deviation, (_MIN_DEVIATION if len(peaks) > 1 else _LONE_DEVIATION) * mean)
    scale = deviation * sqrt(6) / pi
    return mean - 0.5772 * scale, scale


def largest_sum(sums: NDArray[np.float64], margin_bits: int, overflow_log2: float) -> float:
    """What |v| summed over all positions of a picture stays below, ``margin_bits`` over the largest and by its tail.

    Args:
        sums: per calibration picture and channel, (N, C).
        margin_bits: room above the largest picture.
        overflow_log2: of the chance that a picture is above; see ``tail_log2``.
    """
    totals = sums.sum(axis=1)
    mode, scale = _fitted(totals)
    tail = mode - scale * log(2) * overflow_log2
    return float(max([totals.max(initial=0.0) * 2.0**margin_bits, *tail]))


def integer_bits(peaks: NDArray[np.float64], margin_bits: int, overflow_log2: float) -> int:
    """Smallest I such that 2^I is ``margin_bits`` over the largest peak and the tail beyond it is small enough.

    ``peaks``: see ``tail_log2``.
    """
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
