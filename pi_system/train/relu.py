"""ReLU as a module that knows its place in the network and which of its positions are active.

Each ReLU position of a network is its own ``MaskedReLU``, so that a ReLU map can name it by its module path.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.train.square import Square


class MaskedReLU(nn.Module):
    """ReLU where the mask is set, identity where it is not.

    Args:
        shape: (C, H, W) of the activation, without the batch.
        stage: stage of the network it belongs to, from 1; the stem belongs to stage 1.
        block: block inside the stage, from 0; thinning keeps the last ReLU of each block.
    """

    mask: Tensor
    floor: Tensor
    """Least value of every position, (1, C, H, W) or a scalar: 0 where active, minus infinity where not."""

    def __init__(self, shape: tuple[int, int, int], *, stage: int, block: int) -> None:
        """Start with every position active."""
        super().__init__()
        self.shape = shape
        self.stage = stage
        self.block = block
        self.size = shape[0] * shape[1] * shape[2]
        self.active = self.size
        # Saved apart, as a ReLU map: a mask is part of the function, not a weight.
        self.register_buffer("mask", torch.ones(shape, dtype=torch.bool), persistent=False)
        self.register_buffer("floor", torch.zeros(()), persistent=False)

    def set_mask(self, mask: Tensor) -> None:
        """Set which positions are active.

        Args:
            mask: bool (C, H, W).

        Raises:
            ConfigError: another shape or dtype.
        """
        if mask.dtype != torch.bool or tuple(mask.shape) != self.shape:
            raise ConfigError(f"ReLU mask: expected bool {self.shape}; found {mask.dtype} {tuple(mask.shape)}")
        self.active = int(mask.sum())
        self.mask = mask.to(self.mask.device, copy=True)
        self.floor = torch.full((), 0.0 if self.active else -torch.inf, device=self.mask.device)
        if 0 < self.active < self.size and not self.mask.is_meta:
            floor = torch.full((1, *self.shape), -torch.inf, device=self.mask.device)
            floor[:, self.mask] = 0.0
            # In the memory layout of activations in training: in the other one the forward pass takes 3 to 5 times
            # as long (measured on a CPU, bfloat16).
            self.floor = floor.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of shape (N, C, H, W)."""
        if self.active == self.size:
            return functional.relu(x)
        if self.active == 0:
            return x
        # max(x, 0) where active and max(x, -inf) = x elsewhere: one pass instead of relu and where.
        return torch.clamp(x, min=self.floor.to(x.dtype))

    def extra_repr(self) -> str:
        """Shape and active count, for ``print(network)``."""
        return f"{self.shape}, active={self.active}/{self.size}"


class ReluTracer(fx.Tracer):
    """``torch.fx`` tracer for which a MaskedReLU, a Square or a convolution of ours is one node."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Say whether a module stays one call_module node."""
        return isinstance(m, MaskedReLU | Square | nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)

    def trace_module(self, network: nn.Module) -> fx.GraphModule:
        """Trace a network that is in evaluation mode or not; parameters are shared, not copied."""
        graph: Any = self.trace(network)
        return fx.GraphModule(network, graph)


def named_relus(network: nn.Module) -> dict[str, MaskedReLU]:
    """Every ReLU of a network by module path, in the order of execution."""
    return {name: module for name, module in network.named_modules() if isinstance(module, MaskedReLU)}
