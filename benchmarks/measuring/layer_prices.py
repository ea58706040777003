"""Prices of weighted layers, measured alone.

In a session's time a layer is a small part, and grows with what else does: fitted to sessions, one kind of its work
takes the price of another, and a network that has more of the one and less of the other is mispredicted. So every
layer of the fitted networks is timed in its kernel, on one core, in both carriers.
"""

import time
from collections.abc import Iterable, Sequence
from math import prod
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from measuring.schema import Strict
from scipy.optimize import nnls

from pi_system.artifact.graph import Conv2d, Graph
from pi_system.cost.layers import weighted_work
from pi_system.cost.work import UNITS
from pi_system.kernels.conv import RingArray, RingConv2d
from pi_system.kernels.cores import using_threads

PRICES: Final = ("mac32", "mac64", "moved", "layer")
"""What is found here, and is not fitted to sessions."""
Carrier = type[np.uint32] | type[np.uint64]
_CARRIERS: Final[tuple[Carrier, ...]] = (np.uint32, np.uint64)
Shape = tuple[int, ...]
_ROUNDS: Final = 15
_SMALL: Final = 1 << 11  # weights as an export has them, within 12 bits


class LayerSample(Strict):
    """A convolution timed alone, and its work by unit; ns of each repetition."""

    weight: tuple[int, ...]
    input: tuple[int, ...]
    word_bits: int
    units: dict[str, float]
    ns: tuple[int, ...]


class _Layer(NamedTuple):
    node: Conv2d
    shape: Shape
    conv: RingConv2d
    x: RingArray

    def sample(self, ns: Sequence[int]) -> LayerSample:
        units = weighted_work(self.node, prod(self.shape), self.conv.dtype.itemsize)
        return LayerSample(
            weight=self.node.weight_shape,
            input=self.shape,
            word_bits=8 * self.conv.dtype.itemsize,
            units={name: float(value) for name, value in zip(UNITS, units, strict=True) if value},
            ns=tuple(ns),
        )


def measure_layers(graphs: Iterable[Graph]) -> list[LayerSample]:
    """Every convolution of different shape in both carriers; taken in turn, so that a slow moment is no layer's."""
    rng = np.random.default_rng(0)
    layers = [_layer(rng, *given, carrier) for given in _different(graphs) for carrier in _CARRIERS]
    with using_threads(1):
        rounds = [[_ns(layer) for layer in layers] for _ in range(1 + _ROUNDS)]
    # The first round warms up.
    return [layer.sample(ns) for layer, ns in zip(layers, zip(*rounds[1:], strict=True), strict=True)]


def _layer(rng: np.random.Generator, node: Conv2d, shape: Shape, carrier: Carrier) -> _Layer:
    weight: RingArray = rng.integers(-_SMALL, _SMALL, node.weight_shape).astype(carrier)
    x: RingArray = rng.integers(0, 1 << 31, (1, *shape)).astype(carrier)
    return _Layer(node, shape, RingConv2d(weight, stride=node.stride, padding=node.padding, groups=node.groups), x)


def layer_prices(samples: Sequence[LayerSample]) -> dict[str, float]:
    """ns a unit of PRICES, by non-negative least squares on relative errors of the medians."""
    rows = np.array([[sample.units.get(name, 0.0) / median(sample.ns) for name in PRICES] for sample in samples])
    scale = rows.max(axis=0)
    multiples, _ = nnls(rows / scale, np.ones(len(rows)))
    return {name: float(value) for name, value in zip(PRICES, multiples / scale, strict=True)}


def _different(graphs: Iterable[Graph]) -> list[tuple[Conv2d, Shape]]:
    found: dict[tuple[object, ...], tuple[Conv2d, Shape]] = {}
    for graph in graphs:
        shapes = {node.name: node.shape for node in graph}
        for node in graph:
            if isinstance(node, Conv2d):
                shape = shapes[node.inputs[0]]
                found.setdefault((node.weight_shape, shape, node.stride, node.padding, node.groups), (node, shape))
    return list(found.values())


def _ns(layer: _Layer) -> int:
    start_ns = time.perf_counter_ns()
    layer.conv(layer.x)
    return time.perf_counter_ns() - start_ns
