"""First weights of a shallow network: copies where a layer is still there, merged kernels where two became one.

Of two convolutions around a batch normalisation the exact product is one kernel and one bias, the shift of the
normalisation sent through the second: exact but for the zero padding, which the two apply between them. A form with
the product's size (5x5; 7x7 with stride 2) takes it as it is, a 3x3 one its middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.train.blocks import PreActivationBlock
from pi_system.train.networks import Vgg
from pi_system.train.relu import named_relus


@dataclass(frozen=True, slots=True)
class Merged:
    """A layer that stands for several: ``new`` and the normalisation after it, if any; ``old`` is the last of them."""

    new: nn.Conv2d | nn.Linear
    old: nn.Conv2d | nn.Linear
    norm: nn.BatchNorm2d | None

    mean: Tensor | None = None
    """Of the normalisation, as it follows ``old``."""

    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Give the layer its weight, and a bias (C,): its own, or by moving the normalisation's mean."""
        with torch.no_grad():
            self.new.weight.copy_(weight)
            if self.new.bias is not None:
                self.new.bias.copy_(bias)
            elif self.norm is not None and self.norm.running_mean is not None and self.mean is not None:
                self.norm.running_mean.copy_(self.mean - bias)


def sites(network: nn.Module, depth: tuple[str, ...]) -> dict[tuple[int, int], nn.Module]:
    """Blocks, or VGG's triples of convolution, normalisation and ReLU, by stage and place in the whole stage, from 0.

    Args:
        network: of any kind but bottleneck.
        depth: a digit a block; those with 0 are not there.
    """
    present = [(stage, place) for stage, digits in enumerate(depth) for place, d in enumerate(digits) if d != "0"]
    if isinstance(network, Vgg):
        layers = list(network.layers)
        starts = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        found: Iterator[nn.Module] = (nn.Sequential(*layers[at : at + 3]) for at in starts)
    else:
        found = (block for stage in cast(nn.Sequential, network.stages) for block in cast(nn.Sequential, stage))
    return dict(zip(present, found, strict=True))


def inherit_weights(
    source: nn.Module, target: nn.Module, full: tuple[str, ...], depth: tuple[str, ...]
) -> list[Merged]:
    """Copy weights and masks into ``target`` from ``source``; layers that stand for several get their product.

    Args:
        source: a network with all its blocks, whose ReLUs that go are off.
        target: the shallow one.
        full: the source's digits.
        depth: the target's.

    Returns:
        The layers that stand for several, in the order of execution.
    """
    for name in ("stem_conv", "stem_bn", "stem_relu", "fc"):
        if hasattr(source, name):
            _copy(source.get_submodule(name), target.get_submodule(name))
    before, after = sites(source, full), sites(target, depth)
    merged: list[Merged] = []
    pending: _Product | None = None
    for place, old in before.items():
        new = after.get(place)
        if new is not None:
            _copy(old, new)
        if isinstance(source, Vgg):
            pending = _merge_vgg(cast(nn.Sequential, old), cast("nn.Sequential | None", new), pending, merged)
        elif new is not None and isinstance(old.conv2, nn.Conv2d) and not isinstance(new.conv2, nn.Conv2d):
            merged.append(_merge_block(old, new))
    if pending is not None:
        merged.append(_merge_last(source.get_submodule("fc"), target.get_submodule("fc"), pending))
    return merged


def _copy(old: nn.Module, new: nn.Module) -> None:
    """Tensors of the same name and shape, and masks."""
    mine = new.state_dict()
    shared = {key: value for key, value in old.state_dict().items() if key in mine and mine[key].shape == value.shape}
    new.load_state_dict(shared, strict=False)
    theirs = named_relus(old)
    for name, relu in named_relus(new).items():
        relu.set_mask(theirs[name].mask)


@dataclass(frozen=True, slots=True)
class _Product:
    """A linear map so far: kernel (out, in, k, k), bias (out,), and the stride of its first convolution."""

    kernel: Tensor
    bias: Tensor
    stride: int = 1

    def then(self, kernel: Tensor, bias: Tensor) -> "_Product":
        """Followed by another convolution of stride 1."""
        whole = composed_kernel(self.kernel, kernel, self.stride)
        return _Product(whole, bias + kernel.sum((2, 3)) @ self.bias, self.stride)


def _scaled(conv: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution with the normalisation after it."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
        raise TypeError(f"expected a batch normalisation with running statistics; found {norm}")
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


def _middle(kernel: Tensor, side: int) -> Tensor:
    edge = (kernel.shape[-1] - side) // 2
    return kernel[..., edge : edge + side, edge : edge + side]


def _merge_block(old: nn.Module, new: nn.Module) -> Merged:
    before = isinstance(old, PreActivationBlock)
    first, second, target = (cast(nn.Conv2d, layer) for layer in (old.conv1, old.conv2, new.conv1))
    product = _Product(*_scaled(first, cast(nn.Module, old.bn2 if before else old.bn1)), first.stride[0])
    product = product.then(second.weight, torch.zeros(len(second.weight)))
    norm = None if before else cast(nn.BatchNorm2d, new.bn1)
    if norm is not None:
        norm.load_state_dict(cast(nn.BatchNorm2d, old.bn2).state_dict())
    return _merged(target, second, norm, product)


def _merged(new: nn.Conv2d, old: nn.Conv2d, norm: nn.BatchNorm2d | None, product: _Product) -> Merged:
    mean = None if norm is None or norm.running_mean is None else norm.running_mean.clone()
    found = Merged(new, old, norm, mean)
    found.set(_middle(product.kernel, new.kernel_size[0]), product.bias)
    return found


def _merge_vgg(
    old: nn.Sequential, new: nn.Sequential | None, pending: _Product | None, merged: list[Merged]
) -> _Product | None:
    """Go past one convolution of VGG; what has no place of its own yet is the result."""
    conv = cast(nn.Conv2d, old[0])
    if new is None:
        kernel, bias = _scaled(conv, old[1])
        if pending is None:
            return _Product(kernel, bias)
        whole = pending.then(kernel, bias)
        return _Product(_middle(whole.kernel, 3), whole.bias)
    if pending is not None:
        product = pending.then(conv.weight, torch.zeros(len(conv.weight)))
        merged.append(_merged(cast(nn.Conv2d, new[0]), conv, cast(nn.BatchNorm2d, new[1]), product))
    return None


def _merge_last(old: nn.Module, new: nn.Module, pending: _Product) -> Merged:
    before, after = cast(nn.Linear, old), cast(nn.Linear, new)
    found = Merged(after, before, None)
    found.set(before.weight @ pending.kernel.sum((2, 3)), before.bias + before.weight @ pending.bias)
    return found


def composed_kernel(first: Tensor, second: Tensor, stride: int) -> Tensor:
    """The kernel (out, in, k, k) of two convolutions, the first with a stride, applied one after the other.

    Args:
        first: (middle, in, k1, k1).
        second: (out, middle, k2, k2); k = (k2 - 1) stride + k1.
        stride: of the first; the product has it too.
    """
    return functional.conv_transpose2d(second, first, stride=stride)
