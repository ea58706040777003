"""A module to a draft: it is run once on zeros, and every operation on what depends on the picture is written down.

Nothing is traced symbolically, so a network's Python may do what it likes with shapes, flags and its own weights:
what does not depend on the picture is computed (pruned, normalised or generated weights, too). Below the calls of
Python torch knows few operations; ``ops`` has a rule for each that is supported, and a way round for others. A refusal
names the module and the line of the network's own code. What is written into parts of other tensors cannot be followed
so; torch.export writes such a network as a program without that, and the program is run in its place.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pi_system.artifact.graph import Shape
from pi_system.errors import PiError, UnsupportedLayerError
from pi_system.export.copies import copied
from pi_system.export.draft import Draft
from pi_system.export.intake import code_line, one_line
from pi_system.export.lazy import BATCH, Refused, Rewritten
from pi_system.export.outputs import named_tensors
from pi_system.export.program import functional
from pi_system.export.spans import record_spans
from pi_system.export.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Smooth:
    """How smooth functions are replaced.

    Attributes:
        pictures: calibration pictures (N, C, H, W), whose ranges the straight pieces are made for.
        allowed: how far these may be from a function.
    """

    pictures: NDArray[np.float32]
    allowed: float


def trace(module: nn.Module, input_shape: Shape, smooth: Smooth | None = None) -> Draft:
    """The draft of ``module`` in evaluation mode for pictures (C, H, W); ``smooth``: see Smooth, None for refusals.

    Raises:
        UnsupportedLayerError: naming the layer, the line and what of it is not supported.
    """
    kind = type(module).__name__
    try:
        return _run(_copy(module, kind), kind, input_shape, smooth)
    except UnsupportedLayerError as error:
        program = functional(_copy(module, kind), input_shape) if isinstance(error.__cause__, Rewritten) else None
        if program is None:
            raise
        try:
            return _run(program, kind, input_shape, smooth)
        except UnsupportedLayerError as other:
            raise (error if isinstance(other.__cause__, Rewritten) else other) from None


def _copy(module: nn.Module, kind: str) -> nn.Module:
    try:
        return copied(module)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UnsupportedLayerError(f"{kind}: cannot be copied: {one_line(error)}") from error


def _run(module: nn.Module, kind: str, input_shape: Shape, smooth: Smooth | None) -> Draft:
    tracer: Tracer | None = None
    try:
        with warnings.catch_warnings(), torch.no_grad(), eagerly():
            warnings.simplefilter("ignore")
            spans = None if smooth is None else record_spans(module, smooth.pictures, smooth.allowed)
            tracer = Tracer(module, spans)
            with tracer:
                tracer.run(module, input_shape)
    except (Refused, PiError) as error:
        raise UnsupportedLayerError(f"{kind}{_where(tracer)}: {error}{code_line(error)}") from error
    except Exception as error:  # the network's own code may raise anything
        found = one_line(error)
        raise UnsupportedLayerError(
            f"{kind}{_where(tracer)}: expected a forward pass on {BATCH} pictures of {input_shape}, "
            f"found {found}{code_line(error)}"
        ) from error
    return tracer.draft


@contextmanager
def eagerly() -> Iterator[None]:
    """Functions that torch.compile made are run as they were written."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _where(tracer: "Tracer | None") -> str:
    return "" if tracer is None else f", layer {tracer.where()}"


def outputs_of(result: Any) -> Tensor:
    """Everything that a module returns, (N, elements), in the order of the draft's logits."""
    return torch.cat([x.flatten(1) if x.ndim > 1 else x[:, None] for _, x in named_tensors(result)], 1)


def finished(logits: Tensor, finals: Sequence[tuple[int, str]]) -> Tensor:
    """Logits (N, elements) after the functions that a module ends with."""
    parts = torch.tensor_split(logits, [int(end) for end in np.cumsum([size for size, _ in finals])[:-1]], dim=1)
    return torch.cat([_FINISH[name](part) for part, (_, name) in zip(parts, finals, strict=True)], 1)


_FINISH: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "sigmoid": torch.sigmoid,
    "log_sigmoid": torch.nn.functional.logsigmoid,
}
