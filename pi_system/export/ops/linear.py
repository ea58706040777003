"""Fully connected layers and products with constant matrices."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from pi_system.export.draft import Array, Draft
from pi_system.export.lazy import BATCH, Lazy, Refused, plain
from pi_system.export.ops.arithmetic import add
from pi_system.export.ops.refusals import PRODUCT
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.placing import as_node

__all__ = ["RULES", "linear", "separable", "vector"]


def linear(tracer: Tracing, node: str, x: Any, weight: Any, bias: Any = None) -> Lazy:
    """x weight^T + bias, along the last axis of x, which alone may be traced."""
    if not isinstance(x, Lazy) or isinstance(weight, Lazy) or isinstance(bias, Lazy):
        raise Refused(PRODUCT)
    draft = tracer.draft
    matrix = weight.double().numpy()
    shift = (
        np.zeros(len(matrix))
        if bias is None
        else np.array(np.broadcast_to(bias.double().numpy().reshape(-1), len(matrix)))
    )
    features, rows = x.shape[-1], prod(x.shape[:-1])
    if rows == BATCH:
        return vector(draft, node, x.moved(lambda p: p.reshape(BATCH, -1)), matrix, shift, x.shape)
    if rows % BATCH:
        raise Refused("linear layer: expected every picture treated alike")
    tokens = x.moved(lambda p: p.reshape(BATCH, -1, features).transpose(1, 2).unsqueeze(3))
    out = draft.conv2d(node, as_node(draft, f"{node}.in", tokens), matrix[:, :, None, None], shift)
    shape = (*x.shape[:-1], len(matrix))
    return plain(draft, out, draft.nodes[out].shape).moved(lambda p: p.squeeze(3).transpose(1, 2).reshape(shape))


def separable(tracer: Tracing, node: str, x: Lazy, matrices: Sequence[Tensor | None]) -> Lazy:
    """Rows of x (BATCH, C, H, W) by the first matrix (out, H), columns by the second (out, W); None: as they are."""
    out = x
    for axis, matrix in zip((2, 3), matrices, strict=True):
        if matrix is not None and _chooses(matrix):
            chosen = matrix.argmax(1)
            out = out.moved(lambda p, a=axis, c=chosen: p.index_select(a, c))
        elif matrix is not None:
            turned = out.moved(lambda p, a=axis: p.transpose(a, 3))
            out = linear(tracer, node, turned, matrix).moved(lambda p, a=axis: p.transpose(a, 3))
    return out


def _chooses(matrix: Tensor) -> bool:
    """Whether every row is one element alone."""
    return bool(((matrix == 1).sum(1) == 1).all()) and bool(((matrix != 0).sum(1) == 1).all())


def vector(draft: Draft, node: str, x: Lazy, matrix: Array, shift: Array, shape: tuple[int, ...]) -> Lazy:
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


def _addmm(tracer: Tracing, node: str, bias: Any, x: Any, weight: Any, beta: float = 1, alpha: float = 1) -> Lazy:
    if isinstance(weight, Lazy) or isinstance(bias, Lazy):
        raise Refused(PRODUCT)
    return linear(tracer, node, x, weight.t() * alpha, bias * beta)


def _mm(tracer: Tracing, node: str, x: Any, weight: Any) -> Lazy:
    if isinstance(x, Lazy) and isinstance(weight, Lazy):
        raise Refused(PRODUCT)
    if isinstance(x, Lazy):
        return linear(tracer, node, x, weight.t())
    turned = linear(tracer, node, weight.moved(lambda p: p.t()), x)
    return turned.moved(lambda p: p.t())


def _bmm(tracer: Tracing, node: str, x: Any, other: Any) -> Lazy:
    if isinstance(x, Lazy) and isinstance(other, Lazy):
        raise Refused(PRODUCT)
    if isinstance(x, Lazy):
        return _matrices(tracer, node, x, other)
    turned = _matrices(tracer, node, other.moved(lambda p: p.transpose(1, 2)), x.transpose(1, 2))
    return turned.moved(lambda p: p.transpose(1, 2))


def _matrices(tracer: Tracing, node: str, x: Lazy, weight: Tensor) -> Lazy:
    """x (B, M, K) by one matrix (K, O) for each of B: a convolution by groups; pictures are along B or along M."""
    (many, rows, _), out = x.shape, weight.shape[2]
    size = prod(tracer.draft.nodes[x.node].shape)
    if bool((x.index[0] < size).all()):
        groups = many // BATCH
        if not torch.equal(weight[:groups], weight[groups:]):
            raise Refused("bmm: expected every picture treated alike")
        if bool((weight == weight[:1]).all()):
            return linear(tracer, node, x, weight[0].t())
        value = x.moved(lambda p: p.reshape(BATCH, groups, rows, -1))
        return _by_group(tracer, node, value, weight[:groups]).moved(lambda p: p.reshape(many, rows, out))
    value = x.moved(lambda p: p.reshape(many, BATCH, rows // BATCH, -1).transpose(0, 1))
    found = _by_group(tracer, node, value, weight)
    return found.moved(lambda p: p.transpose(0, 1).reshape(many, rows, out))


def _by_group(tracer: Tracing, node: str, x: Lazy, weight: Tensor) -> Lazy:
    """x (BATCH, G, M, K) by weight (G, K, O)."""
    groups, rows, out = x.shape[1], x.shape[2], weight.shape[2]
    value = x.moved(lambda p: p.transpose(2, 3).reshape(BATCH, -1, rows, 1))
    kernel = weight.double().transpose(1, 2).reshape(groups * out, -1, 1, 1).numpy()
    draft = tracer.draft
    found = draft.conv2d(node, as_node(draft, f"{node}.in", value), kernel, groups=groups)
    whole = plain(draft, found, draft.nodes[found].shape)
    return whole.moved(lambda p: p.reshape(BATCH, groups, out, rows).transpose(2, 3))


def _mv(tracer: Tracing, node: str, x: Any, weight: Any) -> Lazy:
    return _mm(tracer, node, x, weight.unsqueeze(1)).moved(lambda p: p.squeeze(1))


def _baddbmm(tracer: Tracing, node: str, bias: Any, x: Any, other: Any, *, beta: float = 1, alpha: float = 1) -> Lazy:
    product = _bmm(tracer, f"{node}.product", x, other).scaled(torch.tensor(float(alpha)))
    return add(tracer, node, product, bias, beta)


RULES: Final[dict[str, Rule]] = {
    "linear": linear,
    "addmm": _addmm,
    "mm": _mm,
    "mv": _mv,
    "bmm": _bmm,
    "baddbmm": _baddbmm,
}
