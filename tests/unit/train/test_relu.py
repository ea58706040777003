import copy
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.train import MaskedReLU


@pytest.fixture
def relu() -> Any:
    return MaskedReLU((2, 3, 3), stage=1, block=0)


@pytest.mark.parametrize("kind", ["all", "none", "some"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_where_set_identity_elsewhere(relu: Any, kind: Any, dtype: Any) -> None:
    mask = torch.full((2, 3, 3), kind == "all")
    if kind == "some":
        mask = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    relu.set_mask(mask)
    x = torch.randn(4, 2, 3, 3, dtype=dtype, requires_grad=True)
    y = relu(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert torch.equal(y, torch.where(mask, x.clamp(min=0), x))
    assert torch.equal(x.grad, torch.where(mask, (x > 0).to(dtype), torch.ones((), dtype=dtype)))  # type: ignore[arg-type]
    assert relu.active == int(mask.sum())


def test_mask_is_copied_and_can_be_set_again(relu: Any) -> None:
    mask = torch.zeros(2, 3, 3, dtype=torch.bool)
    relu.set_mask(mask)
    mask[:] = True
    assert relu.active == int(relu.mask.sum()) == 0
    clone = copy.deepcopy(relu)
    clone.set_mask(mask)
    assert (relu.active, clone.active) == (0, 18)
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(relu(x), x)
    assert torch.equal(clone(x), x.relu())


def test_masks_are_no_weights(relu: Any) -> None:
    assert not relu.state_dict()


@pytest.mark.parametrize("mask", [torch.ones(2, 3, 3), torch.ones(2, 3, 4, dtype=torch.bool)])
def test_wrong_masks_are_refused(relu: Any, mask: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"expected bool \(2, 3, 3\)"):
        relu.set_mask(mask)
