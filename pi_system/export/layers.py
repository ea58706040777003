"""One rule a supported module: what it adds to the draft, and which of its settings are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pi_system.export.draft import Draft, Pair
from pi_system.export.mixed import lower_mixed
from pi_system.train.mixed import MixedActivation
from pi_system.train.relu import MaskedReLU
from pi_system.train.square import Square


class Refused(Exception):
    """A layer or a setting that export does not support; the tracer adds the layer's name."""


def _array(tensor: torch.Tensor | None) -> NDArray[np.float64] | None:
    return None if tensor is None else tensor.detach().double().numpy()


def _pair(value: Any) -> Pair:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _require(module: nn.Module, **settings: Any) -> None:
    for setting, expected in settings.items():
        found = getattr(module, setting)
        if found not in (expected, (expected, expected)):
            raise Refused(f"{type(module).__name__}: expected {setting}={expected}, found {found}")


def _conv2d(draft: Draft, name: str, module: nn.Conv2d, x: str) -> str:
    _require(module, padding_mode="zeros")
    weight = _spread(module.weight.detach().double().numpy(), _pair(module.dilation))
    kernel, padding = (weight.shape[2], weight.shape[3]), module.padding
    if padding == "same":
        if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
            raise Refused(f"Conv2d: expected an odd kernel with padding=same, found {kernel}")
        padding = (kernel[0] // 2, kernel[1] // 2)
    return draft.conv2d(
        name,
        x,
        weight,
        _array(module.bias),
        stride=_pair(module.stride),
        padding=(0, 0) if isinstance(padding, str) else _pair(padding),
        groups=module.groups,
    )


def _spread(weight: NDArray[np.float64], dilation: Pair) -> NDArray[np.float64]:
    """A kernel (O, I, H, W) with the zeros between its taps that a dilation means: the protocols know none."""
    out, inputs, height, width = weight.shape
    spread = np.zeros((out, inputs, (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    return spread


def _linear(draft: Draft, name: str, module: nn.Linear, x: str) -> str:
    return draft.linear(name, x, module.weight.detach().double().numpy(), _array(module.bias))


def _batch_norm(draft: Draft, name: str, module: nn.BatchNorm2d | nn.BatchNorm1d, x: str) -> str:
    mean, variance = _array(module.running_mean), _array(module.running_var)
    if mean is None or variance is None:
        raise Refused("batch normalisation: expected running statistics")
    axes = 3 if isinstance(module, nn.BatchNorm2d) else 1
    shape = draft.nodes[x].shape
    if len(shape) != axes or shape[0] != len(mean):
        raise Refused(f"batch normalisation: expected {len(mean)} channels, found shape {shape}")
    weight, bias = _array(module.weight), _array(module.bias)
    scale = (1.0 if weight is None else weight) / np.sqrt(variance + module.eps)
    return draft.affine(name, x, scale, (0.0 if bias is None else bias) - mean * scale)


def _relu(draft: Draft, name: str, module: nn.ReLU, x: str) -> str:
    return draft.relu(name, x)


def _masked_relu(draft: Draft, name: str, module: MaskedReLU, x: str) -> str:
    if module.shape != draft.nodes[x].shape:
        raise Refused(f"MaskedReLU: expected an input of shape {module.shape}, found {draft.nodes[x].shape}")
    return draft.relu(name, x, module.mask.numpy())


def _mixed(draft: Draft, name: str, module: MixedActivation, x: str) -> str:
    if module.shape != draft.nodes[x].shape:
        raise Refused(f"MixedActivation: expected an input of shape {module.shape}, found {draft.nodes[x].shape}")
    if float(module.swap):
        raise Refused(f"MixedActivation: expected polynomials that are swapped in, found swap {float(module.swap):.3g}")
    return lower_mixed(draft, name[-100:], module, x)


def _square(draft: Draft, name: str, module: Square, x: str) -> str:
    return draft.square(name, x, module.halvings)


def _avg_pool(draft: Draft, name: str, module: nn.AvgPool2d, x: str) -> str:
    _require(module, ceil_mode=False, divisor_override=None)
    padding = _pair(module.padding)
    if padding != (0, 0):
        _require(module, count_include_pad=True)
    return draft.avgpool(name, x, _pair(module.kernel_size), _pair(module.stride), padding)


def _adaptive_pool(draft: Draft, name: str, module: nn.AdaptiveAvgPool2d, x: str) -> str:
    size = module.output_size
    wanted = (size, size) if isinstance(size, int) or size is None else size
    height, width = _spatial(draft, x)
    out = (height if wanted[0] is None else wanted[0], width if wanted[1] is None else wanted[1])
    if height % out[0] or width % out[1]:
        raise Refused(f"AdaptiveAvgPool2d: expected {(height, width)} to be a multiple of {out}")
    kernel = (height // out[0], width // out[1])
    return draft.avgpool(name, x, kernel, kernel)


def global_average(draft: Draft, name: str, x: str) -> str:
    """Average over height and width, kept as (C, 1, 1)."""
    kernel = _spatial(draft, x)
    return draft.avgpool(name, x, kernel, kernel)


def _spatial(draft: Draft, x: str) -> Pair:
    shape = draft.nodes[x].shape
    if len(shape) != 3:
        raise Refused(f"pooling: expected (C, H, W), found shape {shape}")
    return shape[1], shape[2]


def _max_pool(draft: Draft, name: str, module: nn.MaxPool2d, x: str) -> str:
    _require(module, ceil_mode=False, dilation=1, return_indices=False)
    return draft.maxpool(name, x, _pair(module.kernel_size), _pair(module.stride), _pair(module.padding))


def _flatten(draft: Draft, name: str, module: nn.Flatten, x: str) -> str:
    axes = len(draft.nodes[x].shape)
    if module.start_dim != 1 or module.end_dim not in (-1, axes):
        raise Refused(f"flatten: expected start 1 and end -1, found {module.start_dim} and {module.end_dim}")
    return draft.flatten(name, x)


def _identity(draft: Draft, name: str, module: nn.Module, x: str) -> str:
    return x


LAYERS: dict[type[nn.Module], Callable[[Draft, str, Any, str], str]] = {
    nn.Conv2d: _conv2d,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.ReLU: _relu,
    MaskedReLU: _masked_relu,
    MixedActivation: _mixed,
    Square: _square,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.MaxPool2d: _max_pool,
    nn.Flatten: _flatten,
    **dict.fromkeys([nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d], _identity),
}
"""The supported modules, by exact type: a subclass may compute something else."""
