"""Importance against what a switch does to the loss, by finite differences in float64."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.reduce.importance import layer_weights, make_measure
from pi_system.reduce.indicators import indicator_shape
from pi_system.train import MaskedReLU

_STEP = 1e-6


@pytest.fixture
def case() -> Any:
    """Inputs, a mask with holes, and each picture's loss as a function of the layer's output."""
    generator = torch.Generator().manual_seed(0)
    relu = MaskedReLU((3, 4, 4), stage=1, block=0)
    relu.set_mask(torch.rand((3, 4, 4), generator=generator) < 0.8)
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64, generator=generator)
    weight = torch.randn(7, 48, dtype=torch.float64, generator=generator)
    labels = torch.arange(5)

    def losses(y: Any) -> Any:
        return functional.cross_entropy(torch.tanh(y.flatten(1) @ weight.T), labels, reduction="none")

    return relu, x, losses


def _gradient(relu: Any, x: Any, losses: Any) -> Any:
    y = torch.where(relu.mask, x.relu(), x).requires_grad_()
    losses(y).sum().backward()
    return y.grad


def _switched(relu: Any, x: Any, losses: Any, shape: Any) -> Any:
    """d loss / d t of each picture when each entry's output is ReLU + t min(x, 0), (N, *shape)."""
    y = torch.where(relu.mask, x.relu(), x)
    found = torch.zeros(len(x), *shape, dtype=torch.float64)
    for index in range(found[0].numel()):
        entry = torch.zeros(shape, dtype=torch.float64)
        entry.view(-1)[index] = _STEP
        change = entry * relu.mask * x.clamp(max=0)
        found.view(len(x), -1)[:, index] = (losses(y + change) - losses(y - change)) / (2 * _STEP)
    return found


@pytest.mark.parametrize("granularity", ["pixel", "channel", "layer"])
def test_fisher_is_the_squared_effect_of_a_switch_and_signed_the_effect(case: Any, granularity: Any) -> None:
    relu, x, losses = case
    shape = indicator_shape(relu, granularity)
    effect = _switched(relu, x, losses, shape)
    grad = _gradient(relu, x, losses)
    if granularity == "pixel":  # elsewhere a pixel's own mask is part of the entry
        effect = torch.where(relu.mask, effect, 0.0)
    for name, expected in (("fisher", effect.square().sum(0)), ("signed", effect.sum(0))):
        measure = make_measure(name, relu.mask, shape)
        found = measure.found(x, grad)[0].double()
        kept = relu.mask if granularity == "pixel" else torch.ones(shape, dtype=torch.bool)
        assert torch.allclose(found[kept], expected[kept], rtol=1e-4, atol=1e-5)


def test_a_channel_whose_effects_cancel_is_worth_nothing_to_fisher(case: Any) -> None:
    relu = MaskedReLU((1, 1, 2), stage=1, block=0)
    x, grad = -torch.ones(4, 1, 1, 2), torch.tensor([1.0, -1.0]).expand(4, 1, 1, 2)
    assert float(make_measure("fisher", relu.mask, (1, 1, 1)).found(x, grad)) == 0
    assert make_measure("fisher", relu.mask, (1, 1, 2)).found(x, grad).flatten().tolist() == [4, 4]


def test_importance_is_a_moving_average(case: Any) -> None:
    relu, x, losses = case
    measure = make_measure("fisher", relu.mask, (3, 1, 1))
    grad = _gradient(relu, x, losses)
    once = measure.found(x, grad)
    measure.observe(x, grad)
    assert torch.allclose(measure.importance, 0.05 * once)
    measure.observe(x, grad)
    assert torch.allclose(measure.importance, (0.05 * 0.95 + 0.05) * once)


def test_relupruner_is_its_formula(case: Any) -> None:
    relu, x, losses = case
    grad = _gradient(relu, x, losses)
    measure = make_measure("relupruner", relu.mask, (3, 4, 4))
    x, grad = x.float(), grad.float()
    negative, fisher = 0.1 * (x < 0).float().mean(0), 0.01 * grad.square().mean(0)
    expected = (grad * x).abs().mean(0) * negative + 0.5 * x.square().mean(0) * fisher
    assert torch.allclose(measure.found(x, grad)[0], expected, rtol=1e-5)


def test_relupruner_weighs_layers_by_gradients_and_depth(case: Any) -> None:
    relu, x, losses = case
    grad = _gradient(relu, x, losses)
    measures = {name: make_measure("relupruner", relu.mask, (3, 4, 4)) for name in "abc"}
    for factor, measure in zip((1.0, 3.0, 1.0), measures.values(), strict=True):
        measure.observe(x, factor * grad)
    weights = layer_weights(measures)
    norm, fisher = 0.05 * grad.flatten(1).norm(dim=1).mean(), 0.05 * grad.square().mean()
    raw = [k * norm * (k * k * fisher + 1e-8) ** 0.5 * (1 + 0.2 * d / 2) for d, k in enumerate((1.0, 3.0, 1.0))]
    assert weights["a"] == pytest.approx(0.1, abs=1e-6)
    assert weights["b"] == pytest.approx(1.1, abs=1e-6)
    assert weights["c"] == pytest.approx(float(0.1 + (raw[2] - raw[0]) / (raw[1] - raw[0])), rel=1e-4)
    assert layer_weights({"a": make_measure("fisher", relu.mask, (3, 4, 4))}) == {"a": 1.0}


def test_random_importance_is_drawn_once_and_not_by_size(case: Any) -> None:
    relu, x, losses = case
    drawn = make_measure("random", relu.mask, (3, 1, 1), torch.Generator().manual_seed(3))
    before = drawn.by_relu(torch.full((3, 1, 1), 16.0)).clone()
    drawn.observe(x, _gradient(relu, x, losses))
    assert torch.equal(drawn.importance[0], before)
    with pytest.raises(ConfigError, match="importance: expected one of fisher"):
        make_measure("luck", relu.mask, (3, 1, 1))
