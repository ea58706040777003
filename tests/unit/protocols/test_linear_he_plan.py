"""Layers of a graph, and the declared cost of whole networks."""

import pytest
from layers import conv3

from pi_system.artifact.graph import Graph
from pi_system.errors import ConfigError
from pi_system.export.exporter import lower
from pi_system.protocols.linear_he import (
    LinearShape,
    kept_weights,
    linear_he_cost,
    linear_shapes,
    plan_linear,
    plan_together,
)
from pi_system.train.networks import build_network
from pi_system.train.spec import NetworkSpec


def resnet18(width: int) -> Graph:
    """BasicBlock ResNet18 for 32 x 32 pictures, 100 classes."""
    return lower(build_network(NetworkSpec.parse(f"resnet18:m={width}"), seed=0), (3, 32, 32)).graph()


def test_layers_of_a_graph() -> None:
    layers = linear_shapes(resnet18(4))
    assert len(layers) == 21
    assert layers[0] == conv3("stem_conv", "input", 3, 32, out=4)
    assert layers[-1] == LinearShape(name="fc", source="fc.flat", in_channels=32, out_channels=100)
    shortcuts = [layer for layer in layers if "shortcut" in layer.name]
    found = [(layer.source, layer.in_size, layer.out_size) for layer in shortcuts]
    assert found[0] == ("stages.0.1.relu2", (32, 32), (16, 16))
    assert len(found) == 3


@pytest.mark.parametrize(("width", "megabytes"), [(16, 13.4), (64, 51.8)])
def test_bytes_of_resnet18_are_below_those_of_cheetah(width: int, megabytes: float) -> None:
    """31 MB and 111 MB were measured for all of CHEETAH; its linear layers are a part of that."""
    plan = plan_linear(linear_shapes(resnet18(width)), 32, norm_bits=14)
    cost = linear_he_cost(plan)
    assert len(plan.packings) == 18  # each shortcut shares its input with a convolution
    assert (cost.up_bytes + cost.down_bytes) / 1e6 <= megabytes
    assert cost.setup_bytes < 60_000
    assert sum(layer.up_bytes for layer in cost.layers) == cost.up_bytes
    assert sum(layer.down_bytes for layer in cost.layers) == cost.down_bytes


def test_both_parties_plan_alike() -> None:
    layers = linear_shapes(resnet18(8))
    first, second = plan_linear(layers, 37, 13), plan_linear(layers, 37, 13)
    assert first.params == second.params
    assert linear_he_cost(first) == linear_he_cost(second)


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": 3},
        {"in_channels": 0},
        {"kernel": (3, 3), "in_size": (2, 2)},
        {"padding": (-1, 0)},
        {"stride": (0, 1)},
    ],
)
def test_impossible_layers_are_refused(wrong: dict[str, object]) -> None:
    shape: dict[str, object] = {"name": "a", "source": "x", "in_channels": 4, "out_channels": 4}
    with pytest.raises(ConfigError, match="layer a"):
        LinearShape(**(shape | wrong))  # type: ignore[arg-type]


def test_groups_share_the_weights_of_layers_whose_pictures_are_alone_in_a_ciphertext() -> None:
    alone = plan_linear([conv3("large", "x", 4, 56, out=8), conv3("small", "y", 16, 4, out=16)], 32, 12)
    plans = [plan_together(alone, pictures) for pictures in (1, 4, 16)]
    assert [[packing.pictures for packing in plan.packings] for plan in plans] == [[1, 1], [1, 4], [1, 16]]
    names = [set(kept_weights(plan)) for plan in plans]
    assert [len(one) for one in names] == [2, 2, 2]
    assert len(set.intersection(*names)) == 1
    assert len(set.union(*names)) == 4


def test_transformed_weights_are_kept_all_or_none() -> None:
    plan = plan_linear([conv3("a", "x", 4, 16, out=8), conv3("b", "y", 8, 16, out=8)], 32, 12)
    every = linear_he_cost(plan).weight_bytes
    assert sum(kept_weights(plan).values()) == sum(kept_weights(plan, every).values()) == every
    assert kept_weights(plan, every - 1) == {}
