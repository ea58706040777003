"""Mixed activations as nodes of the graph: exact, and as few secure operations as there are."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_interpreter import noisy_logits
from random_networks import mix_kinds, random_mixed_artifact, random_network
from torch import nn

from pi_system.artifact import load, public_from_bytes, public_to_bytes, save
from pi_system.artifact.graph import Select, Square
from pi_system.errors import ArtifactError, UnsupportedLayerError
from pi_system.export.exporter import lower
from pi_system.export.random import random_pictures
from pi_system.program import relu_count, square_count
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import FloatInterpreter, float_logits
from pi_system.train.mixed import Kind, mix
from pi_system.train.relu import MaskedReLU


def small(kinds: np.ndarray, coefficients: np.ndarray | None = None) -> nn.Sequential:
    """Convolution, batch normalisation, a mixed layer (4, 5, 5), a padded convolution, linear."""
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), MaskedReLU((4, 5, 5), stage=1, block=0)]
    network = nn.Sequential(*layers, nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(), nn.Linear(100, 3))
    layer = mix(network, "2")
    layer.set_kinds(torch.from_numpy(np.broadcast_to(kinds, (4, 5, 5)).astype(np.uint8)))
    if coefficients is not None:
        with torch.no_grad():
            layer.coefficients.copy_(torch.from_numpy(coefficients))
    return network.eval()


@given(st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_the_graph_computes_what_the_module_does(seed: int) -> None:
    network, shape = random_network(seed, blocks=2)
    network = mix_kinds(network, seed).eval()
    draft = lower(network, shape)
    pictures = torch.from_numpy(random_pictures(shape, 3, seed))
    found = FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), pictures)
    with torch.no_grad():
        expected = network(pictures)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_a_layer_of_whole_channels_is_one_relu_and_one_square_between_its_convolutions() -> None:
    kinds = np.array([Kind.RELU, Kind.QUADRATIC, Kind.LINEAR, Kind.ZERO])[:, None, None]
    graph = lower(small(kinds, np.array([[-0.3, 0.5, 0.2]] * 4)), (1, 5, 5)).graph()
    assert [node.op for node in graph] == ["input", "conv2d", "relu", "square", "conv2d", "flatten", "linear"]
    assert (relu_count(graph), square_count(graph)) == (25, 25)
    assert graph.format_version == 2


def test_a_channel_of_several_kinds_becomes_branches() -> None:
    kinds = np.full((4, 5, 5), Kind.QUADRATIC)
    kinds[0, :2] = Kind.RELU
    graph = lower(small(kinds), (1, 5, 5)).graph()
    assert (relu_count(graph), square_count(graph)) == (10, 90)
    assert sum(isinstance(node, Select) for node in graph) == 2


def test_a_square_of_coefficient_zero_is_no_square() -> None:
    graph = lower(small(np.array(Kind.QUADRATIC), np.array([[0.0, 1.0, 0.5]] * 4)), (1, 5, 5)).graph()
    assert square_count(graph) == 0
    assert [node.op for node in graph] == ["input", "conv2d", "conv2d", "flatten", "linear"]


def test_a_network_in_the_middle_of_a_swap_is_refused() -> None:
    network = small(np.array(Kind.QUADRATIC))
    network[2].swap.fill_(0.5)  # type: ignore[operator]
    with pytest.raises(UnsupportedLayerError, match=r"expected polynomials that are swapped in, found swap 0\.5"):
        lower(network, (1, 5, 5))


@pytest.mark.parametrize("extreme", [-1, 0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_every_allowed_error_stays_within_the_bound(seed: int, extreme: int) -> None:
    artifact = random_mixed_artifact(seed, blocks=2)
    pictures = random_pictures(artifact.public.graph.input.shape, 16, seed)
    exact, fixed = fixed_logits(artifact, pictures, check_range=True)
    assert np.abs(fixed - float_logits(artifact, pictures)).max() < 0.05
    difference = np.abs(noisy_logits(artifact, pictures, seed, extreme) - exact).max(axis=0)
    assert (difference <= artifact_ulp_bound(artifact)).all()
    assert difference.any()


def test_an_artifact_of_version_two_is_kept_and_checked(tmp_path: Any) -> None:
    artifact = random_mixed_artifact(7, blocks=2)
    assert artifact.public.format_version == 2
    save(artifact, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.public.digest == artifact.public.digest
    pictures = random_pictures(artifact.public.graph.input.shape, 2, 1)
    assert (float_logits(loaded, pictures) == float_logits(artifact, pictures)).all()
    assert public_from_bytes(public_to_bytes(artifact)).masks.keys() == artifact.masks.keys()
    old = artifact.public.model_copy(update={"format_version": 1})
    with pytest.raises(ArtifactError, match="format version: expected 2 for these nodes, found 1"):
        type(loaded)(public=old, masks=artifact.masks, weights=artifact.weights, salt=artifact.salt)
    square = next(node for node in artifact.public.graph if isinstance(node, Square) and node.biased)
    fewer = {name: weight for name, weight in artifact.weights.items() if name != f"{square.name}.bias"}
    with pytest.raises(ArtifactError, match=r"weights: expected .* differing: \['" + square.name):
        type(loaded)(public=artifact.public, masks=artifact.masks, weights=fewer, salt=artifact.salt)
