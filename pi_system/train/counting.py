"""Exact counts of a network: ReLUs, multiply-accumulates and parameters, layer by layer.

Shapes are propagated through the modules on torch's meta device, so nothing is computed and a network of any
kind can be counted, not only the families of this package.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pi_system.train.relu import MaskedReLU


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCount:
    """One convolution, linear or ReLU layer, for one picture; shapes are without the batch."""

    name: str
    kind: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    relus: int = 0
    macs: int = 0
    parameters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCount:
    """Counts for one picture, summed over convolutions, linear layers and ReLUs.

    Batch normalisation counts for nothing: export folds it into the convolution before it.
    """

    layers: tuple[LayerCount, ...]

    @property
    def relus(self) -> int:
        """Active ReLUs."""
        return sum(layer.relus for layer in self.layers)

    @property
    def relu_layers(self) -> int:
        """Layers with an active ReLU."""
        return sum(layer.relus > 0 for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights and biases of convolutions and linear layers."""
        return sum(layer.parameters for layer in self.layers)


def count_network(network: nn.Module, input_shape: tuple[int, int, int]) -> NetworkCount:
    """Count a network for a picture of shape (C, H, W); masks of its ReLUs are respected."""
    layers: list[LayerCount] = []
    shadow = copy.deepcopy(network).to("meta").eval()
    for name, module in shadow.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | MaskedReLU):
            module.register_forward_hook(_recorder(name, layers))
    with torch.no_grad():
        shadow(torch.empty(1, *input_shape, device="meta"))
    return NetworkCount(layers=tuple(layers))


def _recorder(name: str, layers: list[LayerCount]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append(
            LayerCount(
                name=name,
                kind=type(module).__name__,
                in_shape=tuple(inputs[0].shape[1:]),
                out_shape=tuple(output.shape[1:]),
                relus=module.active if isinstance(module, MaskedReLU) else 0,
                macs=_macs(module, output),
                parameters=sum(p.numel() for p in module.parameters()),
            )
        )

    return record


def _macs(module: nn.Module, output: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        # A dilated kernel is exported with the zeros between its taps (export/ops/convolution.py).
        height, width = ((k - 1) * d + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True))
        taps = height * width * (module.in_channels // module.groups)
        return output.numel() * taps
    return output.numel() * module.in_features if isinstance(module, nn.Linear) else 0
