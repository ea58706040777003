"""Convolutions of any kind as those the protocols know: two spatial axes, no dilation, not transposed."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from pi_system.export.draft import Array, Draft, Pair
from pi_system.export.lazy import BATCH, Lazy, Refused, plain
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.placing import as_node, by_channel

__all__ = ["RULES", "channel_factors", "pair"]


def _convolution(
    tracer: Tracing,
    node: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *_: Any,
) -> Lazy:
    if not isinstance(x, Lazy) or isinstance(weight, Lazy):
        raise Refused("convolution: expected weights that do not depend on the picture")
    kernel = weight.double().numpy()
    if kernel.ndim == 3:
        kernel = kernel[:, :, None]
        stride, padding, dilation, output_padding = (
            [first, *each] for first, each in ((1, stride), (0, padding), (1, dilation), (0, output_padding))
        )
    if kernel.ndim != 4:
        raise Refused("convolution: expected one or two spatial axes")
    rest = x.shape[1:]
    value = x.moved(lambda p: p.reshape(BATCH, rest[0], *((1,) if len(rest) == 2 else ()), *rest[1:]))
    draft = tracer.draft
    kernel = _spread(kernel, dilation)
    if transposed:
        value, kernel = _transposed(value, kernel, stride, padding, output_padding, groups)
        stride, padding = [1, 1], [0, 0]
    value, padding = _peeled(value, tuple(padding))
    columns = channel_factors(draft, value)
    if columns is not None:
        kernel = kernel * np.repeat(columns.reshape(groups, -1), len(kernel) // groups, axis=0)[:, :, None, None]
        value.factor = None
    bias = None if bias is None else bias.double().numpy()
    source = as_node(draft, f"{node}.in", value)
    out = draft.conv2d(node, source, kernel, bias, stride=pair(stride), padding=pair(padding), groups=groups)
    shape = draft.nodes[out].shape
    return plain(draft, out, shape if len(rest) == 3 else (shape[0], shape[2]))


def channel_factors(draft: Draft, value: Lazy) -> Array | None:
    """Factors of channels of a value (BATCH, C, H, W) without offset, for weights to take; None: none, or several."""
    if value.factor is None or (value.offset is not None and bool(value.offset.any())):
        return None
    _, factor, _ = value.one(draft)
    return None if factor is None else by_channel(factor)


def pair(value: Any) -> Pair:
    """One number for both axes, or one each; a list of one counts for both."""
    first, second = (value[0], value[-1]) if isinstance(value, list | tuple) else (value, value)
    return int(first), int(second)


def _spread(weight: Array, dilation: Sequence[int]) -> Array:
    """A kernel (O, I, H, W) with the zeros between its taps that a dilation means: the protocols know none."""
    dy, dx = pair(list(dilation))
    out, inputs, height, width = weight.shape
    spread = np.zeros((out, inputs, (height - 1) * dy + 1, (width - 1) * dx + 1))
    spread[:, :, ::dy, ::dx] = weight
    return spread


def _transposed(x: Lazy, kernel: Array, stride: Any, padding: Any, extra: Any, groups: int) -> tuple[Lazy, Array]:
    """A transposed convolution as zeros between the elements and a plain one, by the kernel turned round."""
    inputs, out, height, width = kernel.shape
    by_group = kernel.reshape(groups, inputs // groups, out, height, width).transpose(0, 2, 1, 3, 4)
    turned = np.ascontiguousarray(by_group.reshape(groups * out, inputs // groups, height, width)[:, :, ::-1, ::-1])
    (sy, sx), (py, px), (ey, ex) = pair(stride), pair(padding), pair(extra)

    def widen(part: Tensor) -> Tensor:
        wide = part.new_zeros(*part.shape[:2], (part.shape[2] - 1) * sy + 1, (part.shape[3] - 1) * sx + 1)
        wide[:, :, ::sy, ::sx] = part
        pads = (width - 1 - px, width - 1 - px + ex, height - 1 - py, height - 1 - py + ey)
        return torch.constant_pad_nd(wide, pads, 0.0)

    return x.moved(widen), turned


def _peeled(x: Lazy, padding: tuple[int, ...]) -> tuple[Lazy, tuple[int, int]]:
    """Zeros that stand evenly around the value as padding of the convolution."""
    padding = pair(list(padding))
    empty = (x.index < 0) & (torch.tensor(True) if x.offset is None else x.offset == 0)
    widths = []
    for axis in (2, 3):
        lines = empty.all(dim=3 if axis == 2 else 2).all(dim=1).all(dim=0)
        full = int(lines.numel())
        lead = next((i for i in range(full) if not lines[i]), 0)
        trail = next((i for i in range(full) if not lines[full - 1 - i]), 0)
        widths.append(min(lead, trail))
    h, w = widths
    if h == w == 0:
        return x, padding
    cut = x.moved(lambda p: p[:, :, h : p.shape[2] - h, w : p.shape[3] - w])
    return cut, (padding[0] + h, padding[1] + w)


RULES: Final[dict[str, Rule]] = dict.fromkeys(["convolution", "_convolution", "convolution_overrideable"], _convolution)
