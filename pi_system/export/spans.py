"""What smooth functions are asked for on calibration pictures: the range that straight pieces must hold on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pi_system.errors import UnsupportedLayerError
from pi_system.export.ops import SMOOTH
from pi_system.export.straight import Span

__all__ = ["Spans", "base_name", "record_spans"]

_BATCH: Final = 16


def base_name(func: Any) -> str:
    """An operation's name, without the underscore of one in place."""
    op: str = func.overloadpacket.__name__
    return op.rstrip("_") if op.endswith("_") and not op.startswith("__") and not op.endswith("__") else op


@dataclass(frozen=True, slots=True)
class Spans:
    """Calls of smooth functions in the order of a network's forward pass.

    Attributes:
        calls: (operation, range of its argument).
        allowed: how far straight pieces may be from a function.
    """

    calls: Sequence[tuple[str, Span]]
    allowed: float


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[str, Span]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; note what a smooth one is asked for."""
        name = base_name(func)
        if name in SMOOTH and args and isinstance(args[0], Tensor):
            gated = args[0].chunk(2, args[1] if len(args) > 1 else -1)[1] if name == "glu" else args[0]
            self.calls.append((name, (float(gated.min()), float(gated.max()))))
        return func(*args, **(kwargs or {}))


def record_spans(module: nn.Module, pictures: NDArray[np.float32], allowed: float) -> Spans:
    """Run ``module``, in evaluation mode, on ``pictures`` (N, C, H, W).

    Raises:
        UnsupportedLayerError: it calls other functions on other pictures.
    """
    runs = []
    for first in range(0, len(pictures), _BATCH):
        recorder = _Recorder()
        with torch.no_grad(), recorder:
            module(torch.from_numpy(np.ascontiguousarray(pictures[first : first + _BATCH])))
        runs.append(recorder.calls)
    names = [name for name, _ in runs[0]]
    if any([name for name, _ in run] != names for run in runs):
        raise UnsupportedLayerError(
            f"{type(module).__name__}: expected the same operations on all pictures, found others on some"
        )
    spans = [(min(run[call][1][0] for run in runs), max(run[call][1][1] for run in runs)) for call in range(len(names))]
    return Spans(list(zip(names, spans, strict=True)), allowed)
