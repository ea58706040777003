"""A traced value as places of a node's elements, each times a factor plus an offset: nothing of it is a node yet.

Whatever moves elements (views, slices, padding, nearest upsampling, shuffles) is run on the places, whatever scales or
shifts them by constants on factors and offsets. Only where a value is read by something else does it become nodes:
``Gather`` for places, folded weights or ``Affine`` for the rest. So no operation that moves or scales needs a rule.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact.graph import Conv2d, Linear, Shape
from pi_system.export.draft import Draft

BATCH = 2
"""Pictures in a trace: with two, what mixes pictures is seen."""

_MOST_LISTED = 1 << 16
"""Elements that may be named one by one."""


class Refused(Exception):
    """What export does not support, and why; the tracer adds where."""


@dataclass(eq=False)
class Lazy:
    """Element p of the tensor is ``factor[p] * node.flat[index[p]] + offset[p]``; index -1 stands for a zero.

    Attributes:
        node: of the draft.
        index: float64, which holds it exactly, of the tensor's shape: picture * size + element.
        factor: of the tensor's shape, float64; None for ones.
        offset: the same; None for zeros.
        final: name of a monotone function that was applied last and left out.
        hint: name for the node that this becomes, if it has its own.
    """

    node: str
    index: Tensor
    factor: Tensor | None = None
    offset: Tensor | None = None
    final: str = ""
    hint: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor, with its batch."""
        return tuple(self.index.shape)

    def scaled(self, factor: Tensor) -> "Lazy":
        """Times a constant tensor, broadcast."""
        spread = self.spread(broadcast(self.index, factor))
        factor = factor.double().expand(spread.index.shape)
        ones = factor if spread.factor is None else spread.factor * factor
        return replace(spread, factor=ones, offset=None if spread.offset is None else spread.offset * factor)

    def shifted(self, offset: Tensor) -> "Lazy":
        """Plus a constant tensor, broadcast."""
        spread = self.spread(broadcast(self.index, offset))
        offset = offset.double().expand(spread.index.shape)
        return replace(spread, offset=offset if spread.offset is None else spread.offset + offset)

    def spread(self, shape: torch.Size) -> "Lazy":
        """Broadcast to ``shape``."""
        return self if shape == self.index.shape else self.moved(lambda part: part.expand(shape))

    def moved(self, move, empty: float = 0.0) -> "Lazy":  # type: ignore[no-untyped-def]
        """After ``move``, which takes a tensor of this shape; ``empty``: what it puts where it moves nothing to."""
        index = move(self.index + 1) - 1  # what it fills with zeros becomes -1
        factor = None if self.factor is None else move(self.factor).clone()
        offset = None if self.offset is None else move(self.offset).clone()
        if empty:
            new = move(torch.ones_like(self.index)) == 0
            fill = torch.where(new, empty, 0.0).double()
            offset = fill if offset is None else torch.where(new, fill, offset)
        return Lazy(self.node, index, factor, offset, hint=self.hint)

    def one(self, draft: Draft) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """(places, factors, offsets) of one picture. Raises Refused if pictures differ."""
        size = prod(draft.nodes[self.node].shape)
        index = self.index.reshape(BATCH, -1) if self.index.shape[0] != BATCH else self.index
        first, second = index[0], index[1]
        moved = torch.where(first < 0, first, first + size)
        parts = [self.factor, self.offset]
        same = all(
            part is None or bool((part.reshape(index.shape)[0] == part.reshape(index.shape)[1]).all()) for part in parts
        )
        if not (bool((second == moved).all()) and bool((first < size).all()) and same):
            raise Refused("expected every picture treated alike and apart, found an operation across the batch")
        factor, offset = (None if part is None else part.reshape(index.shape)[0].numpy() for part in parts)
        if factor is not None and (factor == 1).all():
            factor = None
        if offset is not None and not offset.any():
            offset = None
        return first.long().numpy(), factor, offset


def broadcast(a: Tensor, b: Tensor) -> torch.Size:
    """The shape that both have together."""
    return torch.Size(np.broadcast_shapes(tuple(a.shape), tuple(b.shape)))


def plain(draft: Draft, node: str, shape: tuple[int, ...]) -> Lazy:
    """The value of ``node`` as a tensor (BATCH, *shape)."""
    return Lazy(node, torch.arange(float(BATCH * prod(shape)), dtype=torch.float64).reshape(BATCH, *shape))


def node_shape(shape: tuple[int, ...]) -> Shape:
    """The shape that a node gets for a tensor (BATCH, *rest)."""
    rest = shape[1:]
    if len(rest) in (1, 3):
        return rest
    return (rest[0], prod(rest[1:-1]), rest[-1]) if len(rest) > 1 else (1,)


def placed(draft: Draft, name: str, node: str, index: NDArray[np.int64]) -> str:
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
        return placed(draft, name, listed, np.arange(index.size).reshape(index.shape))
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


def by_channel(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C,) of (C, ...). Raises Refused where a channel has several values."""
    flat = values.reshape(len(values), -1)
    if not (flat == flat[:, :1]).all():
        raise Refused("expected a constant with one value a channel, found one that differs by position")
    return np.ascontiguousarray(flat[:, 0])


def as_node(draft: Draft, name: str, value: Lazy, shape: Shape | None = None) -> str:
    """The value as a node of ``shape`` (by default ``node_shape``); from then on the value is that node's."""
    check_not_final(value)
    name = value.hint or name
    shape = shape or node_shape(value.shape)
    if draft.nodes[value.node].shape != shape:
        _fold_before(draft, name, value)
    index, factor, offset = value.one(draft)
    node = placed(
        draft, f"{name}.places" if factor is not None or offset is not None else name, value.node, index.reshape(shape)
    )
    if factor is not None or offset is not None:
        ones = np.ones(shape[0]) if factor is None else by_channel(factor.reshape(shape))
        zeros = np.zeros(shape) if offset is None else offset.reshape(shape)
        alike = (zeros == zeros.reshape(shape[0], -1)[:, 0].reshape(-1, *(1,) * (len(shape) - 1))).all()
        shift = zeros.reshape(shape[0], -1)[:, 0] if alike else np.zeros(shape[0])
        if shift.any() or (ones != 1).any():
            node = affine_node(draft, name, node, ones, shift)
        if not alike:
            node = draft.add(f"{name}.shifted", node, _constant(draft, f"{name}.constant", node, zeros))
    fresh = plain(draft, node, value.shape[1:]) if value.shape[0] == BATCH else None
    if fresh is not None:
        value.node, value.index, value.factor, value.offset = node, fresh.index, None, None
    return node


def check_not_final(value: Lazy) -> None:
    """Raises Refused for what only an output may be."""
    if value.final:
        raise Refused(f"expected {value.final} at the very end of the network only, where it changes no label")


def affine_node(draft: Draft, name: str, x: str, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> str:
    """``factor`` * x + ``offset`` by channel: a sign and a shift are local, all else is a layer that merges."""
    if (factor == 1).all() or (factor == -1).all():
        before = draft.nodes[x]
        if not (isinstance(before, Conv2d | Linear) and not draft.users(x)):
            return draft.signed(name, x, offset, negated=bool(factor[0] < 0))
    if len(draft.nodes[x].shape) == 1 and len(factor) > 1024:
        wide = draft.gather(f"{name}.wide", x, [range(len(factor)), [0], [0]])
        return draft.flatten(f"{name}.flat", draft.affine(name, wide, factor, offset))
    return draft.affine(name, x, factor, offset)


def _constant(draft: Draft, name: str, source: str, values: NDArray[np.float64]) -> str:
    """A node of constants that differ by position: each value once, as the bias of a zero, then at its places."""
    kinds, places = np.unique(values, return_inverse=True)
    zeros = draft.gather(f"{name}.zero", source, [[-1] * len(kinds)])
    return placed(draft, name, draft.signed(f"{name}.values", zeros, kinds), places.reshape(values.shape))


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
    check_not_final(value)
    own = _own(draft, value)
    if own is not None:
        node = as_node(draft, value.hint or name, own)
        return node, Lazy(node, value.index)
    node = as_node(draft, name, value)
    return node, plain(draft, node, value.shape[1:])


def _unmoved(part: NDArray[np.float64] | None, order: NDArray[np.int64], shape: tuple[int, ...]) -> Tensor | None:
    if part is None:
        return None
    own = np.empty(order.size)
    own[order] = part.reshape(-1)
    return torch.from_numpy(own).reshape(1, *shape[1:]).expand(shape)
