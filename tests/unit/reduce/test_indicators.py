from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.reduce.indicators import HardIndicator, SoftIndicator, indicator_shape
from pi_system.train import MaskedReLU


@pytest.fixture
def relu() -> Any:
    relu = MaskedReLU((3, 4, 4), stage=1, block=0)
    relu.set_mask(torch.rand((3, 4, 4), generator=torch.Generator().manual_seed(0)) < 0.7)
    return relu


def test_granularities(relu: Any) -> None:
    assert [indicator_shape(relu, g) for g in ("pixel", "channel", "layer")] == [(3, 4, 4), (3, 1, 1), (1, 1, 1)]
    with pytest.raises(ConfigError, match="granularity: expected one of pixel"):
        indicator_shape(relu, "row")


@pytest.mark.parametrize("granularity", ["pixel", "channel"])
def test_soft_indicator_mixes_relu_and_identity_where_it_may(relu: Any, granularity: str) -> None:
    indicator = SoftIndicator(relu, granularity)
    x = torch.randn(5, 3, 4, 4)
    assert torch.allclose(indicator(x), relu(x))
    with torch.no_grad():
        indicator.alpha.uniform_()
    alpha = indicator.alpha.detach().expand(1, 3, 4, 4)
    expected = torch.where(relu.mask, alpha * x.relu() + (1 - alpha) * x, x)
    assert torch.allclose(indicator(x), expected, atol=1e-6)


@pytest.mark.parametrize("granularity", ["pixel", "channel"])
def test_hard_indicator_is_the_relu_and_measures_the_effect_of_every_switch(relu: Any, granularity: str) -> None:
    indicator = HardIndicator(relu, granularity)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    weight = torch.randn(5, 3, 4, 4)
    (indicator(x) * weight).sum().backward()
    assert torch.equal(indicator(x), relu(x))
    assert torch.allclose(x.grad, torch.where(relu.mask & (x < 0), 0.0, weight))  # type: ignore[arg-type]
    # A switch of position p changes a picture's output by min(x, 0), so its loss by weight * min(x, 0).
    # A quarter of the batch of 5, rounded up, is looked at.
    effect = (weight * x.detach().clamp(max=0) * relu.mask)[:2].sum_to_size((2, *indicator.shape))
    expected = 0.05 * effect.square().sum(0) / indicator.cost
    may = relu.mask.float().sum_to_size(indicator.shape) > 0  # other pixels are never chosen
    assert torch.allclose(indicator.scores()[may], expected[may], atol=1e-6)


def test_hard_indicator_gets_its_mask_back_with_its_state(relu: Any) -> None:
    indicator = HardIndicator(relu, "pixel")
    mask = relu.mask & (torch.arange(4) < 2)
    indicator.set_mask(mask)
    fresh = MaskedReLU((3, 4, 4), stage=1, block=0)
    other = HardIndicator(fresh, "pixel")
    other.load_state_dict(indicator.state_dict())
    assert torch.equal(fresh.mask, mask)
    assert fresh.active == int(mask.sum())
