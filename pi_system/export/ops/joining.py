"""Several values in one: concatenation, stacking, and values written into parts of others."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from pi_system.export.draft import Draft
from pi_system.export.lazy import BATCH, Lazy, Refused, plain
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.placing import as_node

__all__ = ["RULES"]


def _cat(tracer: Tracing, node: str, tensors: Sequence[Any], dim: int = 0) -> Lazy:
    values = _lazies([x for x in tensors if tuple(x.shape) != (0,)])
    rank = len(values[0].shape)
    if dim % rank == 0:
        raise Refused(
            "expected concatenation of one picture's values, found one along the batch; join along another axis (dim=1)"
        )
    draft = tracer.draft
    if dim % rank == 1 and rank in (2, 4) and len({value.node for value in values}) > 1:
        out = draft.concat(node, [as_node(draft, f"{node}.part", value) for value in values])
        return plain(draft, out, draft.nodes[out].shape)
    return _joined(_together(draft, node, values), lambda parts: torch.cat(parts, dim))


def _stack(tracer: Tracing, node: str, tensors: Sequence[Any], dim: int = 0) -> Lazy:
    parts = [x.moved(lambda p: p.unsqueeze(dim)) if isinstance(x, Lazy) else x.unsqueeze(dim) for x in tensors]
    return _cat(tracer, node, parts, dim)


def _scattered(name: str) -> Rule:
    """An operation that gives its first tensor with the second in a part of it."""
    op = getattr(torch.ops.aten, name)

    def rule(tracer: Tracing, node: str, into: Any, source: Any, *args: Any, **kwargs: Any) -> Lazy:
        values = _together(tracer.draft, node, _lazies([into, source]))
        return _joined(values, lambda parts: op(*parts, *args, **kwargs))

    return rule


def _copy(tracer: Tracing, node: str, into: Any, source: Any, *rest: Any) -> Lazy:
    """What is written over all of a tensor is what is read from it later."""
    value = _lazies([source, into])[0]
    return value.spread(torch.Size(into.shape))


def _fill(tracer: Tracing, node: str, x: Any, value: Any = 0.0) -> Lazy:
    return _copy(tracer, node, x, value if isinstance(value, Lazy) else torch.as_tensor(value))


def _where(tracer: Tracing, node: str, condition: Any, a: Any, b: Any) -> Lazy:
    if isinstance(condition, Lazy):
        raise Refused("where: expected a choice that does not depend on the picture; ReLU and maximum are such choices")
    values = _lazies([x if isinstance(x, Lazy) else torch.as_tensor(x) for x in (a, b)])
    shape = torch.Size(np.broadcast_shapes(condition.shape, *(value.index.shape for value in values)))
    spread = _together(tracer.draft, node, [value.spread(shape) for value in values])
    return _joined(spread, lambda parts: torch.where(condition, parts[0], parts[1]))


def _masked_fill(tracer: Tracing, node: str, x: Any, mask: Any, value: Any) -> Lazy:
    return _where(tracer, node, mask, value, x)


def _lazies(tensors: Sequence[Any]) -> list[Lazy]:
    """Constants among traced values as such: offsets of zeros."""
    source = next(x for x in tensors if isinstance(x, Lazy))
    return [x if isinstance(x, Lazy) else _constant(source.node, x) for x in tensors]


def _constant(node: str, values: Tensor) -> Lazy:
    return Lazy(node, torch.full(values.shape, -1.0, dtype=torch.float64), None, values.double())


def _together(draft: Draft, node: str, values: Sequence[Lazy]) -> list[Lazy]:
    """The values as places of one node: that of all of them, or one where they lie one after the other."""
    if len({value.node for value in values}) == 1:
        return list(values)
    flats = [as_node(draft, f"{node}.part", value.moved(lambda p: p.reshape(BATCH, -1))) for value in values]
    out = draft.concat(node, flats)
    (total,) = draft.nodes[out].shape
    found, base = [], 0
    for value in values:
        size = prod(value.shape[1:])
        places = plain(draft, out, value.shape[1:]).index
        places[1] += total - size
        found.append(Lazy(out, places + base))
        base += size
    return found


def _joined(values: Sequence[Lazy], join: Callable[[list[Tensor]], Tensor]) -> Lazy:
    """One value of several of one node; ``join`` moves and fills nothing."""

    def part(found: list[Tensor | None], default: float) -> Tensor | None:
        if all(one is None for one in found):
            return None
        filled = [
            torch.full_like(value.index, default) if one is None else one
            for one, value in zip(found, values, strict=True)
        ]
        return join(filled)

    index = join([value.index for value in values])
    factor, offset = (part([getattr(value, name) for value in values], default) for name, default in _PARTS)
    return Lazy(values[0].node, index, factor, offset)


_PARTS: Final = (("factor", 1.0), ("offset", 0.0))
RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(["cat", "concat"], _cat),
    "stack": _stack,
    **{name: _scattered(name) for name in ("slice_scatter", "select_scatter", "diagonal_scatter")},
    "copy": _copy,
    **dict.fromkeys(["fill", "zero"], _fill),
    "where": _where,
    "masked_fill": _masked_fill,
}
