"""An operation without a rule: if it is linear, it is a matrix."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import torch
from torch import Tensor

from pi_system.export.lazy import BATCH, Lazy
from pi_system.export.ops.linear import vector
from pi_system.export.ops.refusals import REFUSALS
from pi_system.export.ops.rule import Tracing

__all__ = ["probed"]

_MOST_PROBED: Final = 1024
"""Elements of the argument. Each is a run of the operation, and a column of the matrix."""


def probed(tracer: Tracing, node: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Lazy | None:
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
    out = vector(tracer.draft, node, flat, matrix.numpy(), shift.numpy(), (BATCH, size))
    return out.moved(lambda p: p.reshape(zero.shape))
