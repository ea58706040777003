"""Layers of mixed activations: what they compute, how they are kept, what a swap does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pi_system.errors import ConfigError
from pi_system.train import NetworkSpec, ReluMap, build_network, named_relus
from pi_system.train.mixed import DELPHI, Kind, MixedActivation, load_weights, mix, mixed_activations, square_count
from pi_system.train.relu import MaskedReLU

SPEC = "resnet18:m=2,classes=4,size=8,channels=1"
SHAPE = (3, 2, 2)


def layer() -> MixedActivation:
    return MixedActivation(MaskedReLU(SHAPE, stage=1, block=0))


@given(arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, max(Kind))), st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_every_position_computes_its_kind(kinds: np.ndarray, seed: int) -> None:
    mixed = layer()
    mixed.set_kinds(torch.from_numpy(kinds))
    rng = np.random.default_rng(seed)
    x, coefficients = rng.normal(size=(2, *SHAPE)), rng.normal(size=(3, 3))
    with torch.no_grad():
        mixed.coefficients.copy_(torch.from_numpy(coefficients))
        found = mixed(torch.from_numpy(x).float()).numpy()
    for place in np.ndindex(*SHAPE):
        a, b, c = coefficients[place[0]]
        v = x[(slice(None), *place)]
        expected = (v, np.maximum(v, 0), a * v * v + b * v + c, b * v + c, 0 * v)[kinds[place]]
        np.testing.assert_allclose(found[(slice(None), *place)], expected, atol=1e-5)
    assert (mixed.active, mixed.squares) == ((kinds == Kind.RELU).sum(), (kinds == Kind.QUADRATIC).sum())


def test_a_layer_starts_as_its_relu_with_delphis_polynomial_at_hand() -> None:
    relu = MaskedReLU(SHAPE, stage=2, block=1)
    relu.set_mask(torch.arange(12).reshape(SHAPE) % 3 == 0)
    mixed = MixedActivation(relu)
    x = torch.randn(5, *SHAPE)
    assert torch.equal(mixed(x), relu(x))
    assert (mixed.stage, mixed.block, mixed.active, mixed.squares) == (2, 1, 4, 0)
    assert mixed.coefficients.tolist() == [pytest.approx(DELPHI)] * 3
    assert "squares=0" in repr(mixed)


def test_a_swap_goes_from_the_relu_to_the_polynomial() -> None:
    relu, mixed, x = MaskedReLU(SHAPE, stage=1, block=0), layer(), torch.randn(4, *SHAPE)
    mixed.set_kinds(torch.full(SHAPE, int(Kind.QUADRATIC), dtype=torch.uint8))
    a, b, c = DELPHI
    polynomial = a * x * x + b * x + c
    for r, expected in ((1.0, relu(x)), (0.0, polynomial), (0.25, 0.75 * polynomial + 0.25 * relu(x))):
        mixed.swap.fill_(r)
        torch.testing.assert_close(mixed(x), expected)


def test_a_relu_map_moves_relus_and_leaves_other_kinds() -> None:
    mixed = layer()
    kinds = torch.tensor([Kind.RELU, Kind.QUADRATIC, Kind.ZERO], dtype=torch.uint8)[:, None, None].expand(SHAPE)
    mixed.set_kinds(kinds)
    mixed.set_mask(torch.zeros(SHAPE, dtype=torch.bool))
    assert mixed.kinds[:, 0, 0].tolist() == [Kind.IDENTITY, Kind.QUADRATIC, Kind.ZERO]
    assert mixed.active == 0
    mixed.set_mask(torch.ones(SHAPE, dtype=torch.bool))
    assert (mixed.active, mixed.squares) == (12, 0)


@pytest.mark.parametrize(
    "kinds", [torch.zeros(SHAPE), torch.zeros((3, 2), dtype=torch.uint8), torch.full(SHAPE, 9, dtype=torch.uint8)]
)
def test_other_kinds_are_refused(kinds: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="kinds: expected uint8"):
        layer().set_kinds(kinds)


def test_weights_bring_their_mixed_layers_with_them() -> None:
    network = build_network(NetworkSpec.parse(SPEC), seed=0)
    first, *_, last = named_relus(network)
    mix(network, first).set_kinds(torch.full((2, 8, 8), int(Kind.LINEAR), dtype=torch.uint8))
    mixed = mix(network, last)
    mixed.set_kinds(torch.randint(0, 5, mixed.shape, dtype=torch.uint8))
    with torch.no_grad():
        mixed.coefficients.normal_()
    assert mix(network, last) is mixed
    other = build_network(NetworkSpec.parse(SPEC), seed=1)
    load_weights(other, network.state_dict())
    assert list(mixed_activations(other)) == [first, last]
    assert ReluMap.of(other) == ReluMap.of(network)
    assert square_count(other) == square_count(network) > 0
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(other.eval()(x), network.eval()(x))
    with pytest.raises(ConfigError, match="expected a ReLU layer; found Linear"):
        mix(network, "fc")
