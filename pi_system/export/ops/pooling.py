"""Pools and means over any windows and axes."""

from collections.abc import Sequence
from math import lcm, prod
from typing import Any, Final

import torch
from torch import Tensor

from pi_system.export.lazy import BATCH, Lazy, Refused, plain
from pi_system.export.ops.arithmetic import negative
from pi_system.export.ops.convolution import channel_factors, pair
from pi_system.export.ops.linear import separable
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.ops.windows import Windows, adaptive, evenly, inside, largest, means, regular, windows
from pi_system.export.placing import as_node

__all__ = ["RULES"]

_LOWEST: Final = -1e30
"""What is below it was padded so that it never wins."""
_LONGEST: Final = 36
"""Elements along an axis that uneven windows are spread to; beyond it means are products with matrices."""


def _pooled(tracer: Tracing, node: str, x: Lazy, axes: Sequence[Windows], maximum: bool) -> Lazy:
    """Pooling over any windows: their elements side by side, and a pool over them."""
    lengths = [1 if maximum else lcm(*(count for _, count in each)) for each in axes]
    if max(lengths) > _LONGEST:
        return separable(tracer, node, x, [means(each, x.shape[2 + axis]) for axis, each in enumerate(axes)])
    draft = tracer.draft
    lists = [largest(each) if maximum else evenly(each) for each in axes]
    kernel = (len(lists[0][0]), len(lists[1][0]))
    rows, columns = (torch.tensor([tap for window in each for tap in window]) for each in lists)

    def lay(part: Tensor) -> Tensor:
        padded = torch.constant_pad_nd(part, (0, 1, 0, 1), 0.0)
        return padded[:, :, rows][:, :, :, columns]

    source = as_node(draft, f"{node}.windows", x.moved(lay))
    pool = draft.maxpool if maximum else draft.avgpool
    out = pool(node, source, kernel, kernel)
    return plain(draft, out, draft.nodes[out].shape)


def _avg_pool(
    tracer: Tracing,
    node: str,
    x: Lazy,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil: bool = False,
    counted: bool = True,
    divisor: Any = None,
) -> Lazy:
    (ky, kx), (py, px) = pair(kernel), pair(padding)
    sy, sx = pair(stride or kernel)
    height, width = x.shape[2:]
    axes = [windows(height, ky, sy, py, ceil), windows(width, kx, sx, px, ceil)]
    if divisor is not None:
        axes = [[(window, k) for window, _ in each] for each, k in zip(axes, (ky, kx), strict=True)]
    elif not counted:
        axes = [[(window, len(window)) for window, _ in each] for each in axes]
    draft = tracer.draft
    if regular(height, ky, sy, py, axes[0]) and regular(width, kx, sx, px, axes[1]):
        columns = channel_factors(draft, x)
        value = x if columns is None else Lazy(x.node, x.index)
        out = draft.avgpool(node, as_node(draft, f"{node}.in", value), (ky, kx), (sy, sx), (py, px))
        found = plain(draft, out, draft.nodes[out].shape)
        found = found if columns is None else found.scaled(torch.from_numpy(columns).reshape(1, -1, 1, 1))
    else:
        found = _pooled(tracer, node, x, axes, False)
    return found if divisor is None else found.scaled(torch.tensor(ky * kx / float(divisor)))


def _adaptive_avg(tracer: Tracing, node: str, x: Lazy, size: Any) -> Lazy:
    height, width = x.shape[2:]
    if height % size[0] == 0 and width % size[1] == 0:
        kernel = [height // size[0], width // size[1]]
        return _avg_pool(tracer, node, x, kernel, kernel)
    return _pooled(tracer, node, x, [adaptive(height, size[0]), adaptive(width, size[1])], False)


def _bared(x: Lazy) -> tuple[Lazy, list[int]]:
    """x (BATCH, C, H, W) without lines of minus infinity around it, and how many there were before it on each axis."""
    if x.offset is None or not bool((x.offset < _LOWEST).any()):
        return x, [0, 0]
    real = (x.offset >= _LOWEST).any(dim=0).any(dim=0)
    lines = [torch.nonzero(real.any(dim=1 - axis)).flatten() for axis in (0, 1)]
    (top, bottom), (left, right) = ((int(line[0]), int(line[-1]) + 1) for line in lines)
    return x.moved(lambda p: p[:, :, top:bottom, left:right]), [top, left]


def _max_pool(
    tracer: Tracing,
    node: str,
    x: Lazy,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil: bool = False,
) -> Lazy:
    (ky, kx), (py, px), (dy, dx) = pair(kernel), pair(padding), pair(dilation)
    sy, sx = pair(stride or kernel)
    height, width = x.shape[2:]
    axes = [windows(height, ky, sy, py, ceil, dy), windows(width, kx, sx, px, ceil, dx)]
    bare, frame = _bared(x)
    if bare is not x:
        axes = [inside(each, before, size) for each, before, size in zip(axes, frame, bare.shape[2:], strict=True)]
        return _pooled(tracer, node, bare, axes, True)
    if dy == dx == 1 and regular(height, ky, sy, py, axes[0]) and regular(width, kx, sx, px, axes[1]):
        draft = tracer.draft
        out = draft.maxpool(node, as_node(draft, f"{node}.in", x), (ky, kx), (sy, sx), (py, px))
        return plain(draft, out, draft.nodes[out].shape)
    return _pooled(tracer, node, x, axes, True)


def _adaptive_max(tracer: Tracing, node: str, x: Lazy, size: Any) -> Lazy:
    return _pooled(tracer, node, x, [adaptive(x.shape[2], size[0]), adaptive(x.shape[3], size[1])], True)


def _over_axes(tracer: Tracing, node: str, x: Lazy, dim: Any, keepdim: bool, largest: bool) -> Lazy:
    """Mean or maximum over any axes but the batch."""
    rank = len(x.shape)
    axes = sorted({axis % rank for axis in ([dim] if isinstance(dim, int) else dim or range(rank))})
    if 0 in axes:
        raise Refused(
            "mean, sum or max: expected one picture's values, found those of all (a decision takes one way for every "
            "one)"
        )
    pool = _max_pool if largest else _avg_pool
    rest = [axis for axis in range(1, rank) if axis not in axes]
    shape = [x.shape[axis] for axis in rest]
    if axes == [2, 3] and rank == 4:
        out = pool(tracer, node, x, list(x.shape[2:]))
    else:
        lined = x.moved(lambda p: p.permute(0, *rest, *axes).reshape(BATCH, prod(shape), -1, 1))
        out = pool(tracer, node, lined, [lined.shape[2], 1])
    kept = [1 if axis in axes else x.shape[axis] for axis in range(1, rank)]
    return out.moved(lambda p: p.reshape(BATCH, *(kept if keepdim else shape)))


def _mean(tracer: Tracing, node: str, x: Lazy, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Lazy:
    return _over_axes(tracer, node, x, dim, keepdim, largest=False)


def _sum(tracer: Tracing, node: str, x: Lazy, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Lazy:
    mean = _mean(tracer, node, x, dim, keepdim)
    return mean.scaled(torch.tensor(prod(x.shape) / prod(mean.shape)))


def _amax(tracer: Tracing, node: str, x: Lazy, dim: Any = (), keepdim: bool = False) -> Lazy:
    return _over_axes(tracer, node, x, dim, keepdim, largest=True)


def _amin(tracer: Tracing, node: str, x: Lazy, dim: Any = (), keepdim: bool = False) -> Lazy:
    return negative(tracer, node, _amax(tracer, node, negative(tracer, node, x), dim, keepdim))


RULES: Final[dict[str, Rule]] = {
    "avg_pool2d": _avg_pool,
    **dict.fromkeys(["_adaptive_avg_pool2d", "adaptive_avg_pool2d"], _adaptive_avg),
    **dict.fromkeys(["max_pool2d_with_indices", "max_pool2d"], _max_pool),
    "adaptive_max_pool2d": _adaptive_max,
    "mean": _mean,
    "sum": _sum,
    # max and min of two tensors are maximum and minimum below Python
    **dict.fromkeys(["amax", "max"], _amax),
    **dict.fromkeys(["amin", "min"], _amin),
}
