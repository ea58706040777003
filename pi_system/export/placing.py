"""A traced value as a node of the draft: ``Gather`` for places, folded weights or ``Affine`` for all else."""

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact.graph import Conv2d, Linear, Shape
from pi_system.export.draft import Draft
from pi_system.export.lazy import ACROSS, BATCH, Lazy, Refused, plain, shaped

__all__ = ["as_node", "by_channel", "in_place_of"]

_MOST_LISTED = 1 << 16
"""Elements that may be named one by one."""
_MOST_FACTORS = 1 << 14
"""Elements that may be multiplied by a constant each: every one is a channel of a layer."""


def _node_shape(shape: tuple[int, ...]) -> Shape:
    """The shape that a node gets for a tensor (BATCH, *rest)."""
    rest = shape[1:]
    if len(rest) in (1, 3):
        return rest
    return (rest[0], prod(rest[1:-1]), rest[-1]) if len(rest) > 1 else (1,)


def _placed(draft: Draft, name: str, node: str, index: NDArray[np.int64]) -> str:
    """The node whose element p is element ``index[p]`` of ``node``, shape (N,) or (C, H, W)."""
    size = prod(draft.nodes[node].shape)
    if index.size == size and (index.reshape(-1) == np.arange(size)).all():
        if draft.nodes[node].shape == index.shape:
            return node
        if index.ndim == 1:
            return draft.flatten(name, node)
    offsets = _separated(index)
    if offsets is None and index.size <= _MOST_LISTED:
        listed = draft.gather(f"{name}.places", node, [index.reshape(-1).tolist()])
        return _placed(draft, name, listed, np.arange(index.size).reshape(index.shape))
    if offsets is None:
        raise Refused(
            "expected places that rows, columns and channels choose apart, found a rearrangement of single ones"
        )
    return draft.gather(name, node, offsets)


def _separated(index: NDArray[np.int64]) -> list[list[int]] | None:
    """``index`` as a sum of one offset an axis, -1 where a whole line is; None if it is none."""
    lines = [
        np.flatnonzero((index >= 0).any(axis=tuple(a for a in range(index.ndim) if a != axis)))
        for axis in range(index.ndim)
    ]
    if any(len(line) == 0 for line in lines):
        return [[-1] * size for size in index.shape]
    block = index[np.ix_(*lines)]
    corner = (0,) * index.ndim
    found, total = [], int(block[corner])
    for axis in range(index.ndim):
        line = block[tuple(slice(None) if a == axis else 0 for a in range(index.ndim))] - block[corner]
        total += int(line.min())
        found.append(line - line.min())
    found[0] = found[0] + total
    sums = found[0].reshape(-1, *(1,) * (index.ndim - 1))
    for axis in range(1, index.ndim):
        sums = sums + found[axis].reshape(-1, *(1,) * (index.ndim - 1 - axis))
    if not (sums == block).all():
        return None
    out = []
    for axis, size in enumerate(index.shape):
        offsets = np.full(size, -1, np.int64)
        offsets[lines[axis]] = found[axis]
        out.append(offsets.tolist())
    return out


def by_channel(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(C,) of (C, ...); None where a channel has several values."""
    flat = values.reshape(len(values), -1)
    return np.ascontiguousarray(flat[:, 0]) if (flat == flat[:, :1]).all() else None


def as_node(draft: Draft, name: str, value: Lazy) -> str:
    """The value as a node of ``_node_shape``; from then on the value is that node's."""
    name = value.hint or name
    if value.shape[0] != BATCH:
        return _rows_as_node(draft, name, value)
    shape = _node_shape(value.shape)
    if draft.nodes[value.node].shape != shape:
        _fold_before(draft, name, value)
    index, factor, offset = value.one(draft)
    node = _placed(
        draft, f"{name}.places" if factor is not None or offset is not None else name, value.node, index.reshape(shape)
    )
    if factor is not None or offset is not None:
        ones = np.ones(shape[0])
        if factor is not None:
            channels = by_channel(factor.reshape(shape))
            if channels is None:
                node = _by_position(draft, f"{name}.factors", node, factor.reshape(shape))
            else:
                ones = channels
        zeros = np.zeros(shape) if offset is None else offset.reshape(shape)
        alike = (zeros == zeros.reshape(shape[0], -1)[:, 0].reshape(-1, *(1,) * (len(shape) - 1))).all()
        shift = zeros.reshape(shape[0], -1)[:, 0] if alike else np.zeros(shape[0])
        if shift.any() or (ones != 1).any():
            node = _affine_node(draft, name, node, ones, shift)
        if not alike:
            node = draft.add(f"{name}.shifted", node, _constant(draft, f"{name}.constant", node, zeros))
    _renew(value, node)
    return node


def _rows_as_node(draft: Draft, name: str, value: Lazy) -> str:
    """The same of a value whose first axis has rows of every picture."""
    if value.shape[0] % BATCH:
        raise Refused(ACROSS)
    node = as_node(draft, name, value.moved(lambda part: part.reshape(BATCH, -1, *part.shape[1:])))
    _renew(value, node)
    return node


def _renew(value: Lazy, node: str) -> None:
    value.node, value.index, value.factor, value.offset = node, shaped(node, value.shape).index, None, None


def _affine_node(draft: Draft, name: str, x: str, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> str:
    """``factor`` * x + ``offset`` by channel: a sign and a shift are local, all else is a layer that merges."""
    if (factor == 1).all() or (factor == -1).all():
        before = draft.nodes[x]
        if not (isinstance(before, Conv2d | Linear) and not draft.users(x)):
            return draft.signed(name, x, offset, negated=bool(factor[0] < 0))
    if len(draft.nodes[x].shape) == 1 and len(factor) > 1024:
        wide = draft.gather(f"{name}.wide", x, [range(len(factor)), [0], [0]])
        return draft.flatten(f"{name}.flat", draft.affine(name, wide, factor, offset))
    return draft.affine(name, x, factor, offset)


def _by_position(draft: Draft, name: str, x: str, factor: NDArray[np.float64]) -> str:
    """Every element of ``x`` times its own factor: as channels of one element each."""
    if factor.size > _MOST_FACTORS:
        raise Refused(
            f"expected a constant with one value a channel, or at most {_MOST_FACTORS} values, found one of "
            f"{factor.size} that differs by position"
        )
    wide = draft.gather(f"{name}.wide", x, [range(factor.size), [0], [0]])
    scaled = draft.affine(name, wide, factor.reshape(-1), np.zeros(factor.size))
    return _placed(draft, f"{name}.back", scaled, np.arange(factor.size).reshape(factor.shape))


def _constant(draft: Draft, name: str, source: str, values: NDArray[np.float64]) -> str:
    """A node of constants that differ by position: each value once, as the bias of a zero, then at its places."""
    kinds, places = np.unique(values, return_inverse=True)
    zeros = draft.gather(f"{name}.zero", source, [[-1] * len(kinds)])
    return _placed(draft, name, draft.signed(f"{name}.values", zeros, kinds), places.reshape(values.shape))


def _fold_before(draft: Draft, name: str, value: Lazy) -> None:
    """Factors and offsets that are those of the source's channels become a node before anything moves."""
    if value.factor is None and value.offset is None:
        return
    own = _own(draft, value)
    if own is not None and all(_alike(part) for part in (own.factor, own.offset)):
        value.node, value.factor, value.offset = as_node(draft, name, own), None, None


def _alike(part: Tensor | None) -> bool:
    """One value a channel of (BATCH, C, ...)."""
    if part is None or part.ndim < 3:
        return True
    return bool((part.flatten(2) == part.flatten(2)[:, :, :1]).all())


def _own(draft: Draft, value: Lazy) -> Lazy | None:
    """The value in its source's own order; None unless it is a rearrangement of the whole source."""
    node = draft.nodes[value.node]
    size = prod(node.shape)
    if value.index.numel() != BATCH * size:
        return None
    index, factor, offset = value.one(draft)
    order = index.reshape(-1)
    if order.min() < 0 or np.bincount(order, minlength=size).max() > 1:
        return None
    own = plain(draft, value.node, node.shape)
    own.factor, own.offset = (_unmoved(part, order, own.shape) for part in (factor, offset))
    return own


def in_place_of(draft: Draft, name: str, value: Lazy) -> tuple[str, Lazy]:
    """(node, its places) of a value that an operation on every element alone shall read: in its source's own order.

    Where the value is a rearrangement of the whole source, nothing has to move.
    """
    own = _own(draft, value)
    if own is not None:
        node = as_node(draft, value.hint or name, own)
        return node, Lazy(node, value.index)
    node = as_node(draft, name, value)
    return node, shaped(node, value.shape)


def _unmoved(part: NDArray[np.float64] | None, order: NDArray[np.int64], shape: tuple[int, ...]) -> Tensor | None:
    if part is None:
        return None
    own = np.empty(order.size)
    own[order] = part.reshape(-1)
    return torch.from_numpy(own).reshape(1, *shape[1:]).expand(shape)
