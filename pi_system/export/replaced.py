"""A module run with straight pieces in the place of its smooth functions: what its lowered graph computes exactly."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pi_system.export.ops import SMOOTH
from pi_system.export.spans import base_name
from pi_system.export.straight import Pieces

__all__ = ["OtherCallsError", "Replaced"]


class OtherCallsError(Exception):
    """A module calls other smooth functions than pieces were made for."""


class Replaced(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces calls of smooth functions, of one forward pass.

    Raises OtherCallsError in that pass.

    Attributes:
        missing: calls that have not come.
    """

    def __init__(self, pieces: Mapping[int, tuple[str, Pieces]]) -> None:
        """``pieces``: see ``Draft.pieces``."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._pieces, self._calls, self.missing = pieces, 0, len(pieces)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, or what stands in its place."""
        kwargs, name = kwargs or {}, base_name(func)
        if name not in SMOOTH or not (args and isinstance(args[0], Tensor)):
            return func(*args, **kwargs)
        op, pieces = self._pieces.get(self._calls, (name, None))
        self._calls += 1
        if op != name:
            raise OtherCallsError
        if pieces is None:
            return func(*args, **kwargs)
        self.missing -= 1
        found = _gated(pieces, *args) if name == "glu" else _values(pieces, args[0])
        target = kwargs.get("out", args[0] if func.overloadpacket.__name__ != name else None)
        if target is not None:
            return target.copy_(found)
        return (found, torch.zeros_like(found)) if name == "log_sigmoid_forward" else found


def _values(pieces: Pieces, x: Tensor) -> Tensor:
    """A knot at a time, which takes little memory."""
    total = pieces.offset + pieces.slope * x
    for knot, weight in zip(pieces.knots.tolist(), pieces.weights.tolist(), strict=True):
        total += weight * torch.relu(x - knot)
    return total


def _gated(pieces: Pieces, x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    return value * _values(pieces, gate)
