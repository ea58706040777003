"""One rule for each of torch's operations that is supported, and what to do instead of one that is not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import lcm, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pi_system.export.draft import Draft, Pair
from pi_system.export.lazy import (
    BATCH,
    Lazy,
    Refused,
    as_node,
    broadcast,
    by_channel,
    check_not_final,
    in_place_of,
    plain,
)

Rule = Callable[..., Any]
Array = NDArray[np.float64]

KNOWN = {
    "new_empty",
    "new_zeros",
    "new_ones",
    "new_full",
    "empty_like",
    "zeros_like",
    "ones_like",
    "full_like",
    "isnan",
    "isinf",
    "isfinite",
    "sym_size",
    "sym_numel",
    "sym_stride",
    "sym_storage_offset",
    "is_same_size",
}
"""What tells nothing of a picture that a network may ask: the answer of a zero picture is taken."""

_MOVES = (
    "view _unsafe_view reshape _reshape_alias permute transpose t squeeze unsqueeze expand slice select split "
    "split_with_sizes unbind flip roll index_select index repeat reflection_pad1d reflection_pad2d replication_pad1d "
    "replication_pad2d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle upsample_nearest1d "
    "upsample_nearest2d _upsample_nearest_exact1d _upsample_nearest_exact2d clone alias detach unfold im2col "
    "diagonal lift_fresh narrow chunk unsafe_split unsafe_split_with_sizes unsafe_chunk gather take rot90 tile "
    "repeat_interleave expand_as view_as contiguous swapaxes movedim"
).split()


_AS_RESHAPE = dict.fromkeys(["view", "_unsafe_view", "_reshape_alias"], "reshape")
"""Places do not lie in memory as the tensor does."""


def _moved(name: str) -> Rule:
    def rule(tracer: Any, node: str, x: Lazy, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, Lazy) or any(isinstance(a, Lazy) for a in (*args, *kwargs.values())):
            raise Refused(f"{name}: expected positions that do not depend on the picture")
        op = getattr(torch.ops.aten, _AS_RESHAPE.get(name, name))
        first = op(x.index, *args, **kwargs)
        if isinstance(first, Tensor):
            return _kept(x, x.moved(lambda part: op(part, *args, **kwargs)))
        return [_kept(x, x.moved(lambda part, i=i: op(part, *args, **kwargs)[i])) for i in range(len(first))]

    return rule


def _kept(x: Lazy, moved: Lazy) -> Lazy:
    moved.final = x.final
    return moved


def _pad(tracer: Any, node: str, x: Lazy, pad: Sequence[int], value: float = 0.0) -> Lazy:
    return x.moved(lambda part: torch.constant_pad_nd(part, pad, 0), float(value or 0.0))


def _same(tracer: Any, node: str, x: Lazy, *args: Any, **kwargs: Any) -> Lazy:
    return x


def _cat(tracer: Any, node: str, tensors: Sequence[Any], dim: int = 0) -> Lazy:
    draft: Draft = tracer.draft
    values = [_constant_like(tensors, x) if not isinstance(x, Lazy) else x for x in tensors]
    rank = len(values[0].shape)
    if dim % rank == 0:
        raise Refused("expected concatenation of one picture's values, found one along the batch")
    if dim % rank == 1 and rank in (2, 4):
        out = draft.concat(node, [as_node(draft, f"{node}.part", value) for value in values])
        shape = draft.nodes[out].shape
        return plain(draft, out, shape)
    flats = [as_node(draft, f"{node}.part", v.moved(lambda p: p.reshape(BATCH, -1))) for v in values]
    out = draft.concat(node, flats)
    total = draft.nodes[out].shape[0]
    index, base = [], 0
    for value in values:
        size = prod(value.shape[1:])
        places = plain(draft, out, value.shape[1:]).index
        places[1] += total - size
        index.append(places + base)
        base += size
    return Lazy(out, torch.cat(index, dim))


def _constant_like(tensors: Sequence[Any], constant: Tensor) -> Lazy:
    source = next(x for x in tensors if isinstance(x, Lazy))
    index = torch.full(constant.shape, -1.0, dtype=torch.float64)
    return Lazy(source.node, index, None, constant.double())


def _stack(tracer: Any, node: str, tensors: Sequence[Any], dim: int = 0) -> Lazy:
    parts = [x.moved(lambda p: p.unsqueeze(dim)) if isinstance(x, Lazy) else x.unsqueeze(dim) for x in tensors]
    return _cat(tracer, node, parts, dim)


def _add(tracer: Any, node: str, a: Any, b: Any, alpha: float = 1) -> Lazy:
    if not isinstance(b, Lazy):
        shifted: Lazy = a.shifted(torch.as_tensor(b) * alpha)
        return shifted
    b = b if alpha == 1 else b.scaled(torch.tensor(float(alpha)))
    if not isinstance(a, Lazy):
        other: Lazy = b.shifted(torch.as_tensor(a))
        return other
    return _total(tracer.draft, node, a, b)


def _total(draft: Draft, node: str, a: Lazy, b: Lazy) -> Lazy:
    shape = broadcast(a.index, b.index)
    a, b = (x if x.index.shape == shape else x.spread(shape) for x in (a, b))
    if a.node == b.node and torch.equal(a.index, b.index):
        ones = torch.ones_like(a.index)
        parts = [part if part is not None else ones for part in (a.factor, b.factor)]
        total = Lazy(a.node, a.index, parts[0] + parts[1], a.offset)
        return total if b.offset is None else total.shifted(b.offset)
    out = draft.add(node, as_node(draft, f"{node}.a", a), as_node(draft, f"{node}.b", b))
    return plain(draft, out, tuple(shape[1:]))


def _sub(tracer: Any, node: str, a: Any, b: Any, alpha: float = 1) -> Lazy:
    return _add(tracer, node, a, b, -alpha)


def _rsub(tracer: Any, node: str, a: Any, b: Any, alpha: float = 1) -> Lazy:
    return _add(tracer, node, b, a, -alpha)


def _neg(tracer: Any, node: str, x: Lazy) -> Lazy:
    return x.scaled(torch.tensor(-1.0))


def _mul(tracer: Any, node: str, a: Any, b: Any) -> Lazy:
    if isinstance(a, Lazy) and isinstance(b, Lazy):
        if (
            a.node == b.node
            and a.shape == b.shape
            and torch.equal(a.index, b.index)
            and a.factor is b.factor is None
            and a.offset is b.offset is None
        ):
            return _square(tracer, node, a)
        raise Refused(_PRODUCT)
    x, constant = (a, b) if isinstance(a, Lazy) else (b, a)
    return x.scaled(torch.as_tensor(constant))


def _square(tracer: Any, node: str, x: Lazy) -> Lazy:
    draft: Draft = tracer.draft
    return plain(draft, draft.square(node, as_node(draft, f"{node}.in", x)), x.shape[1:])


def _pow(tracer: Any, node: str, x: Any, exponent: Any) -> Lazy:
    if not isinstance(x, Lazy) or isinstance(exponent, Lazy) or float(exponent) not in (1.0, 2.0):
        raise Refused("pow: expected the exponent 1 or 2")
    return x if float(exponent) == 1 else _square(tracer, node, x)


def _div(tracer: Any, node: str, a: Any, b: Any, rounding_mode: Any = None) -> Lazy:
    if isinstance(b, Lazy):
        raise Refused(
            "expected a divisor that does not depend on the picture (normalisation by batch statistics merges instead)"
        )
    if rounding_mode is not None:
        raise Refused("div: expected no rounding")
    return a.scaled(1.0 / torch.as_tensor(b).double())  # type: ignore[no-any-return]


def _batch_norm(tracer: Any, node: str, x: Lazy, weight: Any, bias: Any, mean: Any, var: Any, *rest: Any) -> Lazy:
    training, eps = (rest[0], rest[2]) if len(rest) == 3 else (False, rest[-1])
    if training or mean is None or var is None:
        raise Refused("batch normalisation: expected running statistics; train with track_running_stats=True")
    factor = 1.0 / torch.sqrt(var.double() + eps)
    factor = factor if weight is None else factor * weight.double()
    offset = -mean.double() * factor
    offset = offset if bias is None else offset + bias.double()
    shape = (1, -1, *(1,) * (len(x.shape) - 2))
    return replace(x.scaled(factor.reshape(shape)).shifted(offset.reshape(shape)), hint=node)


def _cudnn_batch_norm(
    tracer: Any, node: str, x: Lazy, weight: Any, bias: Any, mean: Any, var: Any, training: Any, momentum: Any, eps: Any
) -> Lazy:
    return _batch_norm(tracer, node, x, weight, bias, mean, var, training, momentum, eps)


def _convolution(
    tracer: Any,
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
    check_not_final(x)
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
    draft: Draft = tracer.draft
    kernel = _spread(kernel, dilation)
    if transposed:
        value, kernel = _transposed(value, kernel, stride, padding, output_padding, groups)
        stride, padding = [1, 1], [0, 0]
    value, padding = _peeled(value, tuple(padding))
    columns = _columns(draft, value)
    if columns is not None:
        kernel = kernel * np.repeat(columns.reshape(groups, -1), len(kernel) // groups, axis=0)[:, :, None, None]
        value.factor = None
    bias = None if bias is None else bias.double().numpy()
    source = as_node(draft, f"{node}.in", value)
    out = draft.conv2d(node, source, kernel, bias, stride=_pair(stride), padding=_pair(padding), groups=groups)
    shape = draft.nodes[out].shape
    return plain(draft, out, shape if len(rest) == 3 else (shape[0], shape[2]))


def _columns(draft: Draft, value: Lazy) -> Array | None:
    """Factors of the channels of a value (BATCH, C, H, W) without offset, for the weights to take; None for none."""
    if value.factor is None or (value.offset is not None and bool(value.offset.any())):
        return None
    _, factor, _ = value.one(draft)
    return None if factor is None else by_channel(factor)


def _pair(value: Any) -> Pair:
    first, second = (value[0], value[-1]) if isinstance(value, list | tuple) else (value, value)
    return int(first), int(second)


def _spread(weight: Array, dilation: Sequence[int]) -> Array:
    """A kernel (O, I, H, W) with the zeros between its taps that a dilation means: the protocols know none."""
    dy, dx = _pair(list(dilation))
    out, inputs, height, width = weight.shape
    spread = np.zeros((out, inputs, (height - 1) * dy + 1, (width - 1) * dx + 1))
    spread[:, :, ::dy, ::dx] = weight
    return spread


def _transposed(x: Lazy, kernel: Array, stride: Any, padding: Any, extra: Any, groups: int) -> tuple[Lazy, Array]:
    """A transposed convolution as zeros between the elements and a plain one, by the kernel turned round."""
    inputs, out, height, width = kernel.shape
    by_group = kernel.reshape(groups, inputs // groups, out, height, width).transpose(0, 2, 1, 3, 4)
    turned = np.ascontiguousarray(by_group.reshape(groups * out, inputs // groups, height, width)[:, :, ::-1, ::-1])
    (sy, sx), (py, px), (ey, ex) = _pair(stride), _pair(padding), _pair(extra)

    def widen(part: Tensor) -> Tensor:
        wide = part.new_zeros(*part.shape[:2], (part.shape[2] - 1) * sy + 1, (part.shape[3] - 1) * sx + 1)
        wide[:, :, ::sy, ::sx] = part
        pads = (width - 1 - px, width - 1 - px + ex, height - 1 - py, height - 1 - py + ey)
        return torch.constant_pad_nd(wide, pads, 0.0)

    return x.moved(widen), turned


def _peeled(x: Lazy, padding: tuple[int, ...]) -> tuple[Lazy, tuple[int, int]]:
    """Zeros that stand evenly around the value as padding of the convolution."""
    padding = _pair(list(padding))
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


def _linear(tracer: Any, node: str, x: Any, weight: Any, bias: Any = None) -> Lazy:
    if not isinstance(x, Lazy) or isinstance(weight, Lazy) or isinstance(bias, Lazy):
        raise Refused(_PRODUCT)
    check_not_final(x)
    draft: Draft = tracer.draft
    matrix = weight.double().numpy()
    shift = np.zeros(len(matrix)) if bias is None else np.broadcast_to(bias.double().numpy().reshape(-1), len(matrix))
    features, rows = x.shape[-1], prod(x.shape[:-1])
    if rows == BATCH:
        return _vector(draft, node, x.moved(lambda p: p.reshape(BATCH, -1)), matrix, shift, x.shape)
    if rows % BATCH:
        raise Refused("linear layer: expected every picture treated alike")
    tokens = x.moved(lambda p: p.reshape(BATCH, -1, features).transpose(1, 2).unsqueeze(3))
    out = draft.conv2d(node, as_node(draft, f"{node}.in", tokens), matrix[:, :, None, None], shift)
    shape = (*x.shape[:-1], len(matrix))
    return plain(draft, out, draft.nodes[out].shape).moved(lambda p: p.squeeze(3).transpose(1, 2).reshape(shape))


def _vector(draft: Draft, node: str, x: Lazy, matrix: Array, shift: Array, shape: tuple[int, ...]) -> Lazy:
    """A fully connected layer takes places, factors and offsets of its input into its weights."""
    index, factor, offset = x.one(draft)
    if offset is not None:
        shift = shift + matrix @ offset
    if factor is not None:
        matrix = matrix * factor
    size = prod(draft.nodes[x.node].shape)
    if size <= 2 * len(index):
        wide, real = np.zeros((len(matrix), size)), index >= 0
        np.add.at(wide.T, index[real], matrix.T[real])
        source, matrix = draft.flatten(f"{node}.flat", x.node), wide
    else:
        source = as_node(draft, f"{node}.in", Lazy(x.node, x.index))
    return plain(draft, draft.linear(node, source, matrix, shift), (*shape[1:-1], len(matrix)))


def _addmm(tracer: Any, node: str, bias: Any, x: Any, weight: Any, beta: float = 1, alpha: float = 1) -> Lazy:
    if isinstance(weight, Lazy) or isinstance(bias, Lazy):
        raise Refused(_PRODUCT)
    return _linear(tracer, node, x, weight.t() * alpha, bias * beta)


def _mm(tracer: Any, node: str, x: Any, weight: Any) -> Lazy:
    if isinstance(x, Lazy) and isinstance(weight, Lazy):
        raise Refused(_PRODUCT)
    if isinstance(x, Lazy):
        return _linear(tracer, node, x, weight.t())
    turned = _linear(tracer, node, weight.moved(lambda p: p.t()), x)
    return turned.moved(lambda p: p.t())


def _bmm(tracer: Any, node: str, x: Any, other: Any) -> Lazy:
    if isinstance(x, Lazy) and isinstance(other, Lazy):
        raise Refused(_PRODUCT)
    constant = other if isinstance(x, Lazy) else x
    if not bool((constant == constant[:1]).all()):
        raise Refused("bmm: expected one matrix for all")
    if isinstance(x, Lazy):
        return _linear(tracer, node, x, constant[0].t())
    turned = _linear(tracer, node, other.moved(lambda p: p.transpose(1, 2)), constant[0])
    return turned.moved(lambda p: p.transpose(1, 2))


def _relu(tracer: Any, node: str, x: Lazy) -> Lazy:
    draft: Draft = tracer.draft
    check_not_final(x)
    scaled = _rectified_scaled(draft, node, x)
    if scaled is not None:
        return scaled
    source, places = in_place_of(draft, f"{node}.in", x)
    return Lazy(draft.relu(node, source), places.index)


def _rectified_scaled(draft: Draft, node: str, x: Lazy) -> Lazy | None:
    """relu(a x + b) = a relu(x + b / a) for a > 0, where no layer in front takes the product in; else None."""
    if x.factor is None or draft.nodes[x.node].op in ("conv2d", "linear") or not bool((x.factor > 0).all()):
        return None
    offset = None if x.offset is None else x.offset / x.factor
    inner = as_node(draft, f"{node}.in", Lazy(x.node, x.index, None, offset))
    return plain(draft, draft.relu(node, inner), x.shape[1:]).scaled(x.factor)


def _pieces(tracer: Any, node: str, x: Lazy, terms: Sequence[tuple[int, float, float]], constant: float = 0.0) -> Lazy:
    """Sum of weight * relu(sign * x + shift) over (sign, shift, weight), plus a constant: one layer of ReLUs."""
    draft: Draft = tracer.draft
    source, read = in_place_of(draft, f"{node}.in", x)
    shape = draft.nodes[source].shape
    ones, size = np.ones(shape[0]), prod(shape)
    parts = [draft.signed(f"{node}.shifted", source, shift * ones, negated=sign < 0) for sign, shift, _ in terms]
    out = draft.relu(node, parts[0] if len(parts) == 1 else draft.concat(f"{node}.both", parts))
    if len(terms) == 1:
        total = Lazy(out, read.index).scaled(torch.tensor(float(terms[0][2])))
    else:
        halves = []
        for part, (_, _, weight) in enumerate(terms):
            places = read.index.clone()
            places[1] += size * (len(terms) - 1)
            half = Lazy(out, places + part * size)
            halves.append(half if weight == 1 else half.scaled(torch.tensor(float(weight))))
        total = halves[0]
        for half in halves[1:]:
            total = _add(tracer, f"{node}.sum", total, half)
    return total if constant == 0 else total.shifted(torch.tensor(float(constant)))


def _clamp(tracer: Any, node: str, x: Lazy, low: Any = None, high: Any = None) -> Lazy:
    if isinstance(low, Tensor | Lazy) or isinstance(high, Tensor | Lazy):
        low, high = (_scalar(bound) for bound in (low, high))
    if low is None and high is None:
        return x
    if low is None:
        return _pieces(tracer, node, x, [(-1, float(high), -1.0)], float(high))
    below = (1, -float(low), 1.0)
    terms = [below] if high is None else [below, (1, -float(high), -1.0)]
    return _pieces(tracer, node, x, terms, float(low))


def _scalar(bound: Any) -> float | None:
    if isinstance(bound, Lazy):
        raise Refused("clamp: expected bounds that do not depend on the picture")
    if isinstance(bound, Tensor):
        if not bool((bound == bound.reshape(-1)[0]).all()):
            raise Refused("clamp: expected one bound for all")
        return float(bound.reshape(-1)[0])
    return None if bound is None else float(bound)


def _clamp_max(tracer: Any, node: str, x: Lazy, high: Any) -> Lazy:
    return _clamp(tracer, node, x, None, high)


def _hardtanh(tracer: Any, node: str, x: Lazy, low: float = -1, high: float = 1) -> Lazy:
    return _clamp(tracer, node, x, low, high)


def _relu6(tracer: Any, node: str, x: Lazy) -> Lazy:
    return _clamp(tracer, node, x, 0, 6)


def _hardsigmoid(tracer: Any, node: str, x: Lazy) -> Lazy:
    return _clamp(tracer, node, x.shifted(torch.tensor(3.0)), 0, 6).scaled(torch.tensor(1 / 6))


def _leaky(tracer: Any, node: str, x: Lazy, slope: float = 0.01) -> Lazy:
    return _pieces(tracer, node, x, [(1, 0.0, 1.0), (-1, 0.0, -float(slope))])


def _abs(tracer: Any, node: str, x: Lazy) -> Lazy:
    return _pieces(tracer, node, x, [(1, 0.0, 1.0), (-1, 0.0, 1.0)])


def _prelu(tracer: Any, node: str, x: Lazy, slope: Tensor) -> Lazy:
    above = _pieces(tracer, node, x, [(1, 0.0, 1.0)])
    below = _pieces(tracer, f"{node}.below", x, [(-1, 0.0, -1.0)])
    shape = slope.shape if slope.ndim > 1 else (1, -1, *(1,) * (len(x.shape) - 2))
    return _add(tracer, f"{node}.sum", above, below.scaled(slope.reshape(shape)))


def _threshold(tracer: Any, node: str, x: Lazy, threshold: float, value: float) -> Lazy:
    if threshold != value:
        raise Refused("threshold: expected the value to be the threshold, which makes it a clamp")
    return _clamp(tracer, node, x, threshold)


def _maximum(tracer: Any, node: str, a: Any, b: Any) -> Lazy:
    difference = _sub(tracer, f"{node}.difference", a, b)
    return (
        _add(tracer, f"{node}.sum", b, _relu(tracer, node, difference))
        if isinstance(b, Lazy)
        else _relu(tracer, node, difference).shifted(torch.as_tensor(b))
    )


def _minimum(tracer: Any, node: str, a: Any, b: Any) -> Lazy:
    negative = [_neg(tracer, node, x) if isinstance(x, Lazy) else -x for x in (a, b)]
    return _neg(tracer, node, _maximum(tracer, node, *negative))


def _windows(
    size: int, kernel: int, stride: int, padding: int, ceil: bool, dilation: int = 1
) -> list[tuple[list[int], int]]:
    """For each output the real positions of its window, and how many it counts with its padding."""
    span = dilation * (kernel - 1) + 1
    count = -(-(size + 2 * padding - span) // stride) + 1 if ceil else (size + 2 * padding - span) // stride + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1
    found = []
    for out in range(count):
        taps = range(out * stride - padding, out * stride - padding + span, dilation)
        counted = [tap for tap in taps if tap < size + padding]
        found.append(([tap for tap in counted if 0 <= tap < size], len(counted)))
    return found


def _adaptive(size: int, out: int) -> list[tuple[list[int], int]]:
    windows = [list(range(i * size // out, -(-(i + 1) * size // out))) for i in range(out)]
    return [(window, len(window)) for window in windows]


def _pooled(tracer: Any, node: str, x: Lazy, axes: Sequence[list[tuple[list[int], int]]], largest: bool) -> Lazy:
    """Pooling over any windows: their elements side by side, and a pool over them."""
    draft: Draft = tracer.draft
    lists = [_laid_out(windows, largest) for windows in axes]
    kernel = (len(lists[0][0]), len(lists[1][0]))
    rows, columns = (torch.tensor([tap for window in windows for tap in window]) for windows in lists)

    def lay(part: Tensor) -> Tensor:
        padded = torch.constant_pad_nd(part, (0, 1, 0, 1), 0.0)
        return padded[:, :, rows][:, :, :, columns]

    source = as_node(draft, f"{node}.windows", x.moved(lay))
    pool = draft.maxpool if largest else draft.avgpool
    out = pool(node, source, kernel, kernel)
    return plain(draft, out, draft.nodes[out].shape)


def _laid_out(windows: list[tuple[list[int], int]], largest: bool) -> list[list[int]]:
    """Positions of all windows in lists of one length: repeated for a maximum, evenly for a mean; -1 is a zero."""
    if largest:
        most = max(len(window) for window, _ in windows)
        return [window + window[-1:] * (most - len(window)) for window, _ in windows]
    length = lcm(*(count for _, count in windows))
    if length > 64:
        raise Refused(f"average pool: expected windows of like sizes, found {sorted({count for _, count in windows})}")
    laid = []
    for window, count in windows:
        zeros = [-1] * (count - len(window))
        laid.append([tap for tap in window + zeros for _ in range(length // count)])
    return laid


def _regular(size: int, kernel: int, stride: int, padding: int, windows: list[tuple[list[int], int]]) -> bool:
    plain_count = (size + 2 * padding - kernel) // stride + 1
    return len(windows) == plain_count and all(count == kernel for _, count in windows) and 2 * padding <= kernel


def _avg_pool(
    tracer: Any,
    node: str,
    x: Lazy,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil: bool = False,
    counted: bool = True,
    divisor: Any = None,
) -> Lazy:
    (ky, kx), (py, px) = _pair(kernel), _pair(padding)
    sy, sx = _pair(stride or kernel)
    height, width = x.shape[2:]
    axes = [_windows(height, ky, sy, py, ceil), _windows(width, kx, sx, px, ceil)]
    if divisor is not None:
        axes = [[(window, k) for window, _ in each] for each, k in zip(axes, (ky, kx), strict=True)]
    elif not counted:
        axes = [[(window, len(window)) for window, _ in each] for each in axes]
    draft: Draft = tracer.draft
    if _regular(height, ky, sy, py, axes[0]) and _regular(width, kx, sx, px, axes[1]):
        columns = _columns(draft, x)
        value = x if columns is None else Lazy(x.node, x.index)
        out = draft.avgpool(node, as_node(draft, f"{node}.in", value), (ky, kx), (sy, sx), (py, px))
        found = plain(draft, out, draft.nodes[out].shape)
        found = found if columns is None else found.scaled(torch.from_numpy(columns).reshape(1, -1, 1, 1))
    else:
        found = _pooled(tracer, node, x, axes, False)
    return found if divisor is None else found.scaled(torch.tensor(ky * kx / float(divisor)))


def _adaptive_avg(tracer: Any, node: str, x: Lazy, size: Any) -> Lazy:
    height, width = x.shape[2:]
    if height % size[0] == 0 and width % size[1] == 0:
        kernel = [height // size[0], width // size[1]]
        return _avg_pool(tracer, node, x, kernel, kernel)
    return _pooled(tracer, node, x, [_adaptive(height, size[0]), _adaptive(width, size[1])], False)


def _max_pool(
    tracer: Any,
    node: str,
    x: Lazy,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil: bool = False,
) -> Lazy:
    (ky, kx), (py, px), (dy, dx) = _pair(kernel), _pair(padding), _pair(dilation)
    sy, sx = _pair(stride or kernel)
    height, width = x.shape[2:]
    axes = [_windows(height, ky, sy, py, ceil, dy), _windows(width, kx, sx, px, ceil, dx)]
    if dy == dx == 1 and _regular(height, ky, sy, py, axes[0]) and _regular(width, kx, sx, px, axes[1]):
        draft: Draft = tracer.draft
        out = draft.maxpool(node, as_node(draft, f"{node}.in", x), (ky, kx), (sy, sx), (py, px))
        return plain(draft, out, draft.nodes[out].shape)
    return _pooled(tracer, node, x, axes, True)


def _adaptive_max(tracer: Any, node: str, x: Lazy, size: Any) -> Lazy:
    return _pooled(tracer, node, x, [_adaptive(x.shape[2], size[0]), _adaptive(x.shape[3], size[1])], True)


def _mean(tracer: Any, node: str, x: Lazy, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Lazy:
    rank = len(x.shape)
    axes = sorted({axis % rank for axis in ([dim] if isinstance(dim, int) else dim or range(rank))})
    if 0 in axes:
        raise Refused(
            "mean or sum: expected one picture's values, found those of all (a decision takes one way for every one)"
        )
    rest = [axis for axis in range(1, rank) if axis not in axes]
    shape = [x.shape[axis] for axis in rest]
    if axes == [2, 3] and rank == 4:
        out = _avg_pool(tracer, node, x, list(x.shape[2:]))
    else:
        lined = x.moved(lambda p: p.permute(0, *rest, *axes).reshape(BATCH, prod(shape), -1, 1))
        out = _avg_pool(tracer, node, lined, [lined.shape[2], 1])
    kept = [1 if axis in axes else x.shape[axis] for axis in range(1, rank)]
    return out.moved(lambda p: p.reshape(BATCH, *(kept if keepdim else shape)))


def _sum(tracer: Any, node: str, x: Lazy, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Lazy:
    mean = _mean(tracer, node, x, dim, keepdim)
    return mean.scaled(torch.tensor(prod(x.shape) / prod(mean.shape)))


def _amax(tracer: Any, node: str, x: Lazy, dim: Any = (), keepdim: bool = False) -> Lazy:
    axes = [axis % len(x.shape) for axis in ([dim] if isinstance(dim, int) else dim)]
    if sorted(axes) != [2, 3] or len(x.shape) != 4:
        raise Refused("max: expected a maximum over height and width")
    out = _max_pool(tracer, node, x, list(x.shape[2:]))
    return out if keepdim else out.moved(lambda p: p.flatten(1))


def _bilinear(tracer: Any, node: str, x: Lazy, size: Any, align: bool, *scales: Any) -> Lazy:
    """Rows by a matrix, then columns: any resizing whose weights of rows and columns are apart."""
    out = x
    for axis in (2, 3):
        matrix = _resizing(x.shape[axis], size[axis - 2], align, scales[axis - 2] if len(scales) == 2 else None)
        out = _linear(tracer, node, out.moved(lambda p, a=axis: p.transpose(a, 3)), matrix).moved(
            lambda p, a=axis: p.transpose(a, 3)
        )
    return out


def _resizing(size: int, out: int, align: bool, scale: Any) -> Tensor:
    rows = torch.eye(size).reshape(size, 1, size, 1)
    with torch.no_grad():
        resized: Tensor = torch.ops.aten.upsample_bilinear2d(rows, [out, 1], align, scale, None)
    return resized.reshape(size, out).t().contiguous()


def _monotone(name: str) -> Rule:
    def rule(tracer: Any, node: str, x: Lazy, *args: Any, **kwargs: Any) -> Lazy:
        if len(x.shape) != 2 and prod(x.shape[2:]) != 1 and name != "sigmoid":
            raise Refused(
                f"{name}: expected it over the classes of one output; leave it out and apply it to the result"
            )
        return Lazy(x.node, x.index, x.factor, x.offset, name)

    return rule


RULES: dict[str, Rule] = {
    **{name: _moved(name) for name in _MOVES},
    "constant_pad_nd": _pad,
    **dict.fromkeys(["_to_copy", "dropout", "native_dropout", "feature_dropout", "alpha_dropout"], _same),
    **dict.fromkeys(["cat", "concat"], _cat),
    "stack": _stack,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "neg": _neg,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "square": _square,
    **dict.fromkeys(
        ["native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit"], _batch_norm
    ),
    "cudnn_batch_norm": _cudnn_batch_norm,
    **dict.fromkeys(["convolution", "_convolution", "convolution_overrideable"], _convolution),
    "linear": _linear,
    "addmm": _addmm,
    "mm": _mm,
    "bmm": _bmm,
    "relu": _relu,
    **dict.fromkeys(["clamp", "clip"], _clamp),
    "clamp_min": _clamp,
    "clamp_max": _clamp_max,
    "hardtanh": _hardtanh,
    "relu6": _relu6,
    "hardsigmoid": _hardsigmoid,
    "leaky_relu": _leaky,
    **dict.fromkeys(["prelu", "_prelu_kernel"], _prelu),
    "threshold": _threshold,
    "abs": _abs,
    "maximum": _maximum,
    "minimum": _minimum,
    "avg_pool2d": _avg_pool,
    "_adaptive_avg_pool2d": _adaptive_avg,
    "adaptive_avg_pool2d": _adaptive_avg,
    **dict.fromkeys(["max_pool2d_with_indices", "max_pool2d"], _max_pool),
    "adaptive_max_pool2d": _adaptive_max,
    "mean": _mean,
    "sum": _sum,
    "amax": _amax,
    "upsample_bilinear2d": _bilinear,
    "_softmax": _monotone("softmax"),
    "_log_softmax": _monotone("log_softmax"),
    "sigmoid": _monotone("sigmoid"),
    "log_sigmoid_forward": _monotone("log_sigmoid"),
}
"""By torch's name, without the trailing underscore of an operation in place."""

_PRODUCT = (
    "expected no product of two values that depend on the picture (squeeze-and-excitation, attention, gates); "
    "train without it, or with a constant in its place"
)
_SMOOTH = (
    "expected a ReLU or what ReLUs are made of (ReLU6, Hardtanh, LeakyReLU, PReLU, clamp); train or fine-tune with one"
)
_NORM = "expected batch normalisation, which is constant in evaluation; {} by the picture's own variance"
_UNKNOWN = "expected an operation that is linear, or made of ReLUs and maxima; see docs/will-my-network-run.md"

REFUSALS: dict[str, str] = {
    **dict.fromkeys(
        ["gelu", "silu", "hardswish", "mish", "elu", "celu", "selu", "softplus", "tanh", "exp", "log", "erf"], _SMOOTH
    ),
    "native_group_norm": _NORM.format("GroupNorm and InstanceNorm divide"),
    "native_layer_norm": _NORM.format("LayerNorm divides"),
    **dict.fromkeys(
        ["_local_scalar_dense", "is_nonzero", "equal", "nonzero", "any", "all", "item"],
        "expected code that asks for no value of the picture (`if`, .item()): all must take one way; write that one",
    ),
    **dict.fromkeys(
        ["gt", "lt", "ge", "le", "eq", "ne", "where", "masked_fill", "sign"],
        "expected no comparison but ReLU, clamp, maximum and minimum",
    ),
    **dict.fromkeys(
        ["sqrt", "rsqrt", "reciprocal", "var", "std", "linalg_vector_norm", "norm"],
        "expected no root or variance of what depends on the picture",
    ),
    **dict.fromkeys(["_scaled_dot_product_flash_attention_for_cpu", "scaled_dot_product_attention"], _PRODUCT),
    "copy": "expected a value made at once, not written into parts of another (as circular padding is); use cat",
    "topk": "expected no sorting",
    "sort": "expected no sorting",
}
"""What to do instead, by operation."""


def refusal(op: str) -> str:
    """What to say of an operation without a rule."""
    return f"{op}: {REFUSALS.get(op, _UNKNOWN)}"


_MOST_PROBED = 1024


def probed(tracer: Any, node: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Lazy | None:
    """An operation without a rule as a matrix, if it is linear in one small value, picture by picture; else None."""
    values = [x for x in args if isinstance(x, Lazy)]
    if len(values) != 1 or any(isinstance(x, Lazy) for x in kwargs.values()):
        return None
    x = values[0]
    size = prod(x.shape[1:])
    if x.shape[0] != BATCH or size > _MOST_PROBED or func.overloadpacket.__name__ in REFUSALS:
        return None

    def run(rows: Tensor) -> Tensor | None:
        outs = []
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            out = func(*(part.reshape(x.shape) if a is x else a for a in args), **kwargs)
            if not isinstance(out, Tensor) or out.shape[0] != BATCH or not out.is_floating_point():
                return None
            outs.append(out)
        return torch.cat(outs).double()

    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2 * BATCH, size, generator=generator)
    try:
        zero, one = run(torch.zeros(BATCH, size)), run(torch.cat([drawn, drawn[:BATCH] + 2 * drawn[BATCH:]]))
        if zero is None or one is None:
            return None
        mixed = one[:BATCH] + 2 * one[BATCH : 2 * BATCH] - 2 * zero
        if not torch.allclose(one[2 * BATCH :], mixed, rtol=1e-4, atol=1e-4):
            return None
        basis = run(torch.cat([torch.eye(size), torch.zeros(size % BATCH, size)]))
    except (RuntimeError, TypeError, IndexError):
        return None
    if basis is None:
        return None
    shift = zero[0].reshape(-1)
    matrix = (basis[:size].reshape(size, -1) - shift).t().contiguous()
    flat = x.moved(lambda p: p.reshape(BATCH, -1))
    out = _vector(tracer.draft, node, flat, matrix.numpy(), shift.numpy(), (BATCH, size))
    return out.moved(lambda p: p.reshape(zero.shape))
