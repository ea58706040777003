"""Blocks' 1x1 convolutions: as torch's, but for the gradient that oneDNN cannot be trusted with."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pi_system.train.blocks import Pointwise
from pi_system.train.networks import build_network
from pi_system.train.spec import NetworkSpec


class Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Kernel and stride of each one that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[int, int]] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator is torch.ops.aten.convolution.default:
            self.seen.append((args[1].shape[-1], args[3][0]))
        return operator(*args, **kwargs or {})


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [4, 7])
def test_pointwise_is_a_convolution_in_value_and_gradient(stride: int, size: int) -> None:
    ours, x = Pointwise(8, 12, stride), torch.randn(3, 8, size, size)
    plain = nn.Conv2d(8, 12, 1, stride, bias=False)
    plain.load_state_dict(ours.state_dict())
    found: list[tuple[Tensor | None, ...]] = []
    for conv in (ours, plain):
        with torch.no_grad():
            still = conv(x)
        y = conv(x)
        y.square().sum().backward()
        found.append((still, y, conv.weight.grad))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("network", ["resnet18:m=2", "resnet50:m=1", "wrn-16-1:m=2"])
def test_no_strided_pointwise_convolution_where_gradients_are_asked_for(network: str) -> None:
    built, x = build_network(NetworkSpec.parse(network)), torch.randn(2, 3, 32, 32)
    with Convolutions() as trained:
        built(x).sum().backward()
    with torch.no_grad(), Convolutions() as inferred:
        built(x)
    assert trained.seen
    assert not [stride for kernel, stride in trained.seen if kernel == 1 and stride > 1]
    assert [stride for kernel, stride in inferred.seen if kernel == 1 and stride > 1]
