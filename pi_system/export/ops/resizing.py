"""Resizing by weights: rows by a matrix, then columns (nearest neighbours only move)."""

from typing import Any, Final

import torch
from torch import Tensor

from pi_system.export.lazy import Lazy
from pi_system.export.ops.linear import separable
from pi_system.export.ops.rule import Rule, Tracing

__all__ = ["RULES"]


def _resized(name: str) -> Rule:
    """Any resizing whose weights of rows and columns are apart."""

    def rule(tracer: Tracing, node: str, x: Lazy, size: Any, align: bool, *scales: Any) -> Lazy:
        given = scales if len(scales) == 2 else (None, None)
        return separable(
            tracer, node, x, [_matrix(name, x.shape[2 + axis], size[axis], align, given[axis]) for axis in (0, 1)]
        )

    return rule


def _resized_line(tracer: Tracing, node: str, x: Lazy, size: Any, align: bool, scale: Any = None) -> Lazy:
    matrix = _matrix("upsample_bilinear2d", x.shape[2], size[0], align, scale)
    flat = x.moved(lambda p: p.unsqueeze(3))
    return separable(tracer, node, flat, [matrix, None]).moved(lambda p: p.squeeze(3))


def _matrix(name: str, size: int, out: int, align: bool, scale: Any) -> Tensor:
    """(out, size)."""
    rows = torch.eye(size, dtype=torch.float64)[None, None]
    resized: Tensor = getattr(torch.ops.aten, name)(rows, [out, size], align, scale, None)
    return resized[0, 0]


_OVER_TWO: Final = ("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
RULES: Final[dict[str, Rule]] = {**{name: _resized(name) for name in _OVER_TWO}, "upsample_linear1d": _resized_line}
