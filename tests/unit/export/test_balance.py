"""Factors that let weights fill their bits: never above what ranges allow, and not far below."""

import numpy as np
import pytest
import torch
from random_networks import random_network
from torch import nn

from pi_system.export.balance import balanced
from pi_system.export.channels import shared_channels
from pi_system.export.equalise import scaled_weights
from pi_system.export.exporter import lower
from pi_system.export.random import randomise
from pi_system.export.scales import _fitting_frac_bits

SHAPE = (3, 8, 8)
LARGEST = 2**15 - 1


def network(groups: int = 1) -> nn.Module:
    """The first layer has a loud row, the second a loud column."""
    first, second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=groups)
    module = randomise(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)), SHAPE, 1)
    with torch.no_grad():
        module[0].weight[2] *= 16  # type: ignore[index]
        module[2].weight[:, 8 // groups - 1] *= 16  # type: ignore[index]
    return module


def found(module: nn.Module, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Factors allowed and found, and the largest weight of each layer as an integer."""
    draft = lower(module, shape)
    graph, weights = draft.graph(), draft.float_weights()
    shared = shared_channels(graph)
    allowed = np.where(
        np.arange(shared.groups) == shared.fixed, 1.0, np.random.default_rng(1).uniform(1, 2, shared.groups)
    )
    factors = balanced(graph, weights, shared, allowed)
    scaled = scaled_weights(graph, weights, {name: factors[groups] for name, groups in shared.of.items()})
    tensors = [scaled[f"{node.name}.weight"] for node in graph.weighted]
    return allowed, factors, [float(np.abs(w).max()) * 2.0 ** _fitting_frac_bits(w, 16) for w in tensors]


@pytest.mark.parametrize("seed", range(4))
def test_factors_are_lowered_only_and_not_by_much(seed: int) -> None:
    module, shape = random_network(seed)
    allowed, factors, largest = found(randomise(module, shape, seed), shape)
    assert (factors <= allowed).all()
    assert (factors >= allowed / 32).all()
    assert max(largest) <= LARGEST


@pytest.mark.parametrize("groups", [1, 2])
def test_layers_that_nothing_else_writes_fill_their_last_bit(groups: int) -> None:
    _, factors, largest = found(network(groups), SHAPE)
    assert all(0.99 * LARGEST < value <= LARGEST for value in largest[:2])
    assert factors[2] < factors[1] / 4  # the loud row is taken back


def test_loud_rows_and_columns_leave_the_others_their_bits() -> None:
    draft = lower(network(), SHAPE)
    graph, weights = draft.graph(), draft.float_weights()
    shared = shared_channels(graph)
    factors = balanced(graph, weights, shared, np.ones(shared.groups))
    scaled = scaled_weights(graph, weights, {name: factors[groups] for name, groups in shared.of.items()})

    def peak_to_mean(tensor: np.ndarray) -> float:
        return float(np.abs(tensor).max() / np.sqrt((tensor**2).mean()))

    for node in graph.weighted[:2]:
        before, after = (peak_to_mean(each[f"{node.name}.weight"]) for each in (weights, scaled))
        assert after < before / 1.5


def test_what_is_never_written_or_never_read_keeps_its_factor() -> None:
    module = network()
    with torch.no_grad():
        module[0].weight[5] = 0  # type: ignore[index]
        module[2].weight[:, 6] = 0  # type: ignore[index]
    _, factors, largest = found(module, SHAPE)
    assert np.isfinite(factors).all()
    assert max(largest) <= LARGEST
