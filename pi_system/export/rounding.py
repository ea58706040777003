"""Weights as fixed point rounds them, with biases that take back what rounding adds to outputs on average.

Of W a layer has Q = rint(2^fw W) / 2^fw. Its error (Q - W) x is much the same on every picture, for x, behind a ReLU,
has a mean far from zero: layer after layer it adds up, and it is most of the error of a deep network. A bias is free
and has all bits of its output: it takes the mean of the error over the calibration pictures off.

Source: bias correction of Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.2, from calibrated means.
"""

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Weights
from pi_system.artifact.ring_config import RingConfig
from pi_system.export.ranges import Ranges


def rounded_weights(graph: ops.Graph, ring: RingConfig, weights: Weights, ranges: Ranges) -> Weights:
    """``weights`` that ``quantise_weights`` will encode exactly, biases corrected.

    Args:
        graph: the network.
        ring: its fixed-point parameters.
        weights: real.
        ranges: of the calibration pictures, at the scales of ``weights``.
    """
    rounded = dict(weights)
    for node in graph.weighted:
        exact = weights[f"{node.name}.weight"].astype(np.float64)
        scale = 2.0 ** ring.weight_frac_bits[node.name]
        found = np.rint(exact * scale) / scale
        rounded[f"{node.name}.weight"] = found.astype(np.float32)
        if (taps := ranges.taps.get(node.name)) is not None:
            bias = weights[f"{node.name}.bias"].astype(np.float64)
            rounded[f"{node.name}.bias"] = (bias - _mean_output(node, found - exact, taps)).astype(np.float32)
    return rounded


def _mean_output(node: ops.WeightedNode, weight: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """What ``weight`` puts out on average, without a bias, (C,)."""
    if isinstance(node, ops.Conv2d):
        groups, per_group = node.groups, node.in_channels // node.groups
        taps = np.repeat(taps.reshape(groups, per_group, *node.kernel), node.shape[0] // groups, axis=0)
    return np.asarray((weight * taps).reshape(len(weight), -1).sum(axis=1))
