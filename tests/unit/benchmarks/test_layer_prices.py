from itertools import product
from statistics import median

import pytest
from measuring.layer_prices import PRICES, LayerSample, layer_prices, measure_layers
from random_networks import random_small_artifact

from pi_system.artifact.graph import Conv2d


def sample(units: dict[str, float], ns: float) -> LayerSample:
    return LayerSample(weight=(1, 1, 1, 1), input=(1, 1, 1), word_bits=32, units=units, ns=(round(ns), 10**12, 0))


def test_prices_that_explain_the_samples_are_found() -> None:
    true = {"mac32": 0.05, "mac64": 0.2, "moved": 0.5, "layer": 2e4}
    samples = []
    for carrier, macs, moved in product(("mac32", "mac64"), (1e5, 3e6, 4e7), (1e4, 3e5)):
        units = {carrier: macs, "moved": moved, "layer": 1.0}
        samples.append(sample(units, sum(true[name] * amount for name, amount in units.items())))
    assert layer_prices(samples) == pytest.approx(true, rel=1e-3)


def test_every_different_convolution_is_timed_in_both_carriers() -> None:
    graph = random_small_artifact(3).public.graph
    shapes = {node.name: node.shape for node in graph}
    convs = {
        (n.weight_shape, shapes[n.inputs[0]], n.stride, n.padding, n.groups) for n in graph if isinstance(n, Conv2d)
    }
    found = measure_layers([graph, graph])
    assert len(found) == 2 * len(convs)
    assert {one.word_bits for one in found} == {32, 64}
    for one in found:
        assert set(one.units) == {f"mac{one.word_bits}", "moved", "layer"}
        assert median(one.ns) > 0
    prices = layer_prices(found)
    assert set(prices) == set(PRICES)
    assert all(price >= 0 for price in prices.values())
