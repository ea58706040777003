"""Equal functions are exported equally well: factors of channels change nothing but how weights are rounded."""

import numpy as np
import pytest
import torch
from local_nodes import SHAPE, local_draft
from random_networks import random_network, random_square_artifact
from torch import nn

from pi_system.artifact.graph import Graph
from pi_system.export.draft import Draft
from pi_system.export.equalise import channel_factors, scaled_weights
from pi_system.export.exporter import export_network, lower
from pi_system.export.random import random_artifact, random_pictures, randomise
from pi_system.export.ranges import Ranges, calibrate
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import FloatInterpreter


def equalised(draft: Draft, shape: tuple[int, ...], seed: int = 0) -> tuple[Graph, Ranges]:
    graph, weights = draft.graph(), draft.float_weights()
    pictures = random_pictures(shape, 8, seed)
    ranges = calibrate(graph, draft.masks, weights, pictures)
    factors = channel_factors(graph, ranges, weights)
    scaled = scaled_weights(graph, weights, factors)
    found = FloatInterpreter(draft.masks, scaled).run(graph, torch.from_numpy(pictures)).numpy()
    assert np.abs(found - ranges.logits).max() < 1e-4 * max(1.0, float(np.abs(ranges.logits).max()))
    again = calibrate(graph, draft.masks, scaled, pictures)
    assert all(
        np.allclose(again.channels[name], peaks, rtol=1e-4, atol=1e-4)
        for name, peaks in ranges.scaled(graph, factors).channels.items()
    )
    return graph, again


@pytest.mark.parametrize("seed", range(4))
def test_the_function_stays_and_ranges_are_scaled_with_it(seed: int) -> None:
    network, shape = random_network(seed)
    equalised(lower(randomise(network, shape, seed), shape), shape)


def test_what_is_squared_keeps_its_scale() -> None:
    artifact = random_square_artifact(3)
    graph = artifact.public.graph
    pictures = random_pictures(graph.input.shape, 8, 1)
    factors = channel_factors(graph, calibrate(graph, artifact.masks, artifact.weights, pictures), artifact.weights)
    for node in graph.squares():
        assert (factors[node.name] == 1).all()
        assert (factors[node.inputs[0]] == 1).all()


def test_moved_and_concatenated_channels_share_a_factor() -> None:
    equalised(local_draft(), SHAPE)


def uneven(factor: float) -> nn.Module:
    """One function, whatever the factor: two channels are so many times larger between two layers."""
    first, second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))
    random = randomise(network, (3, 8, 8), 1)
    network.load_state_dict(random.state_dict())
    with torch.no_grad():
        first.weight[:2] *= factor
        first.bias[:2] *= factor  # type: ignore[index]
        second.weight[:, :2] /= factor
    return network


def test_equal_functions_have_equal_errors() -> None:
    graph, ranges = equalised(lower(uneven(50.0), (3, 8, 8)), (3, 8, 8))
    peaks = [ranges.channels[node.name].max() for node in graph.relus()]
    assert all(8.0 / 32 < peak < 8.0 + 1e-3 for peak in peaks)
    errors = []
    for factor in (1.0, 200.0):
        pictures = random_pictures((3, 8, 8), 64, 2)
        plain = random_artifact(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), (3, 8, 8), 0, "preprocess")
        artifact = export_network(uneven(factor), plain.public.preprocess, pictures, "uneven")
        with torch.no_grad():
            exact = uneven(1.0)(torch.from_numpy(pictures)).numpy()
        errors.append(float(np.abs(fixed_logits(artifact, pictures)[1] - exact).max()))
    assert errors[1] < 1.5 * errors[0] + 1e-3


def test_a_channel_that_calibration_kept_quiet_has_room() -> None:
    """Differences of colours: calibrated on pictures that are nearly grey, then shown colours."""
    first = nn.Conv2d(3, 16, 3)
    network = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(576, 4))
    network.load_state_dict(randomise(network, (3, 8, 8), 1).state_dict())
    with torch.no_grad():
        first.weight[:4] -= first.weight[:4].mean(dim=1, keepdim=True)
        first.bias[:4] = 0  # type: ignore[index]
    colours = random_pictures((3, 8, 8), 64, 2)
    grey = 0.97 * colours[:, :1] + 0.03 * colours
    plain = random_artifact(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), (3, 8, 8), 0, "preprocess")
    artifact = export_network(network, plain.public.preprocess, grey, "grey")
    fixed_logits(artifact, colours, check_range=True)
