"""Copies of modules, whose own tensors stay as they are."""

import copy

from torch import Tensor, nn

__all__ = ["copied", "duplicate"]


def duplicate(module: nn.Module) -> nn.Module:
    """A deep copy; weights that a hook computes, as those of pruning and of weight_norm, come again when it runs."""
    computed = [
        (child, name, value)
        for child in module.modules()
        for name, value in vars(child).items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    try:
        for child, name, value in computed:
            vars(child)[name] = value.detach()
        return copy.deepcopy(module)
    finally:
        for child, name, value in computed:
            vars(child)[name] = value


def copied(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, float32, on the CPU."""
    return duplicate(module).cpu().eval().float()
