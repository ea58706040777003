"""Rounded weights: fixed point encodes them exactly, and their errors have no mean."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from random_networks import random_network
from torch import nn

from pi_system.artifact.graph import Graph, Node
from pi_system.artifact.model import Masks, Weights
from pi_system.artifact.ring_config import RingConfig
from pi_system.export.exporter import lower
from pi_system.export.random import random_pictures, randomise
from pi_system.export.ranges import Ranges, calibrate
from pi_system.export.rounding import rounded_weights
from pi_system.program.float_point import FloatInterpreter

SHAPE = (3, 9, 8)
PICTURES = 40  # more than calibration runs at once


def ring_of(graph: Graph, frac_bits: int) -> RingConfig:
    """Only what rounding reads of it."""
    return RingConfig(
        ring_bits=59,
        frac_bits={},
        weight_frac_bits={node.name: frac_bits for node in graph.weighted},
        comparison_bits={},
        logit_bits=20,
    )


def calibrated(module: nn.Module, shape: tuple[int, ...]) -> tuple[Graph, Masks, Weights, Ranges]:
    draft = lower(module, shape)
    graph, weights = draft.graph(), draft.float_weights()
    return graph, draft.masks, weights, calibrate(graph, draft.masks, weights, random_pictures(shape, PICTURES, 3))


def outputs(graph: Graph, masks: Masks, weights: Weights) -> dict[str, np.ndarray]:
    """Of every node on the calibration pictures, (N, C, positions)."""
    found = {}

    def observe(node: Node, value: torch.Tensor) -> None:
        found[node.name] = value.double().numpy().reshape(*value.shape[:2], -1)

    pictures = random_pictures(graph.input.shape, PICTURES, 3)
    FloatInterpreter(masks, weights, observe=observe).run(graph, torch.from_numpy(pictures))
    return found


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(3, 8, 3),
    "padded": lambda: nn.Conv2d(3, 8, (3, 5), padding=(1, 2)),
    "strided": lambda: nn.Conv2d(3, 8, 3, stride=(2, 3), padding=1),
    "grouped": lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(216, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_error_of_a_rounded_layer_has_no_mean(name: str) -> None:
    """Its inputs do: a rounded layer alone moves the mean of its outputs."""
    first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    module = randomise(nn.Sequential(first, LAYERS[name](), nn.Flatten()), SHAPE, 1)
    graph, masks, weights, ranges = calibrated(module, SHAPE)
    last = graph.weighted[-1].name
    rounded = dict(rounded_weights(graph, ring_of(graph, 4), weights, ranges))
    rounded |= {key: weights[key] for key in weights if not key.startswith(f"{last}.")}
    uncorrected = rounded | {f"{last}.bias": weights[f"{last}.bias"]}
    exact = outputs(graph, masks, weights)[last]
    means = [
        np.abs((outputs(graph, masks, each)[last] - exact).mean(axis=(0, 2))).max() for each in (rounded, uncorrected)
    ]
    assert means[0] < 1e-5 < 1e-3 < means[1]


@pytest.mark.parametrize("seed", range(3))
def test_fixed_point_encodes_rounded_weights_exactly_and_rounding_again_changes_nothing(seed: int) -> None:
    network, shape = random_network(seed)
    graph, _, weights, ranges = calibrated(randomise(network, shape, seed), shape)
    ring = ring_of(graph, 7)
    rounded = rounded_weights(graph, ring, weights, ranges)
    for node in graph.weighted:
        scaled = rounded[f"{node.name}.weight"].astype(np.float64) * 2**7
        assert (scaled == np.rint(scaled)).all()
        assert np.abs(scaled - weights[f"{node.name}.weight"] * 2**7).max() <= 0.5
    again = rounded_weights(graph, ring, rounded, ranges)
    assert all((again[name] == rounded[name]).all() for name in rounded)


def test_a_deep_network_of_coarse_weights_is_several_times_closer() -> None:
    layers: list[nn.Module] = []
    for width in (3, *[16] * 11):
        layers += [nn.Conv2d(width, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    module = randomise(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), SHAPE, 1)
    graph, masks, weights, ranges = calibrated(module, SHAPE)
    rounded = rounded_weights(graph, ring_of(graph, 6), weights, ranges)
    uncorrected = {name: weights[name] if name.endswith(".bias") else value for name, value in rounded.items()}
    pictures = torch.from_numpy(random_pictures(SHAPE, 32, 99))  # none of those that corrected
    exact = FloatInterpreter(masks, weights).run(graph, pictures)
    errors = [
        float((FloatInterpreter(masks, each).run(graph, pictures) - exact).abs().max())
        for each in (rounded, uncorrected)
    ]
    assert 2 * errors[0] < errors[1]
