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

from pi_system.export.draft import Draft
from pi_system.export.straight import Asked

BATCH = 2
"""Pictures in a trace: with two, what mixes pictures is seen."""

ACROSS = (
    "expected every picture treated alike and apart, found an operation across the batch, or values that differ in it "
    "(drawn at random? F.dropout needs training=self.training)"
)


class Refused(Exception):
    """What export does not support, and why; the tracer adds where."""


class Rewritten(Refused):
    """A value whose memory was changed through another tensor."""


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
        asked: the call of ``final``, where its arguments on calibration pictures are known.
    """

    node: str
    index: Tensor
    factor: Tensor | None = None
    offset: Tensor | None = None
    final: str = ""
    hint: str = ""
    asked: Asked | None = None

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
            raise Refused(ACROSS)
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


def shaped(node: str, shape: tuple[int, ...]) -> Lazy:
    """The value of ``node`` as a tensor of ``shape``, whose first axis is the batch, or rows of every picture."""
    return Lazy(node, torch.arange(float(prod(shape)), dtype=torch.float64).reshape(shape))


def side_by_side(one: Lazy, node: str, count: int) -> list[Lazy]:
    """Values like ``one``, whose places are all of its node's, that lie one after the other in ``node``."""
    size = one.index.numel() // BATCH
    picture = torch.div(one.index, size, rounding_mode="floor")
    return [Lazy(node, one.index + picture * size * (count - 1) + part * size) for part in range(count)]
