"""Is the lowered graph the module? And how far is it from it, where straight pieces stand for smooth functions."""

import logging
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pi_system.artifact.model import Approximation
from pi_system.errors import UnsupportedLayerError
from pi_system.export.copies import copied
from pi_system.export.draft import Draft
from pi_system.export.nearness import in_parts, nearness
from pi_system.export.outputs import two_outputs
from pi_system.export.replaced import OtherCallsError, Replaced
from pi_system.export.trace import eagerly, finished, outputs_of
from pi_system.program.float_point import FloatInterpreter

__all__ = ["check_graph_is_module"]

# Pictures on which both are compared, in float64, where sums of large values cancel without harm, and how far elements
# of an output may differ, as a share of its largest: constants that a module makes in float32.
_COMPARED = 8
_TOLERANCE = 1e-4
# Pictures on which they are where smooth functions were replaced, and what of the outputs' spread is worth a warning.
_APPROXIMATED = 64
_BATCH = 16
_WARNED = 0.05
# What is too much where the module cannot be run with pieces, and nothing else tells that it is another network.
_FAR = 1.0

_log = logging.getLogger(__name__)


def check_graph_is_module(
    module: nn.Module, draft: Draft, pictures: NDArray[np.float32], name: str, *, binary: bool = False
) -> Approximation | None:
    """Does the lowered graph compute what the module does; a trace cannot see every trick of a module's code.

    Args:
        module: the network.
        draft: what it was lowered to.
        pictures: calibration pictures (N, C, H, W).
        name: of the network, for warnings.
        binary: the module's one logit became two.

    Returns:
        None if it does; how far it is from it, where smooth functions were replaced.

    Raises:
        UnsupportedLayerError: it does not.
    """
    if not draft.approximated:
        _check_equal(module, draft, *_outputs(module, draft, pictures[:_COMPARED], binary))
        return None
    compared = _compared_with_pieces(module, draft, pictures[:_COMPARED], binary)
    found = _approximation(module, draft, pictures, binary)
    if not compared and not found.error <= _FAR:
        raise UnsupportedLayerError(
            f"{type(module).__name__}: expected straight pieces for smooth functions to change logits by less than "
            f"{100 * _FAR:g} % of their spread, found {100 * found.error:.2g} %"
        )
    if found.agreement < 1 or found.error > _WARNED:
        _log.warning(
            "%s: straight pieces for smooth functions change logits by up to %.2g %% of their spread and %.2g %% of "
            "the labels; a smaller --approximate takes more pieces",
            name,
            100 * found.error,
            100 * (1 - found.agreement),
        )
    return found


def _outputs(
    module: nn.Module, draft: Draft, pictures: NDArray[np.float32], binary: bool, *, pieces: bool = False
) -> tuple[Tensor, Tensor]:
    """Outputs (N, elements) of the lowered graph and of the module, with ``pieces`` or itself; in float64 if it can."""
    run: Callable[[nn.Module, Tensor], Tensor] = partial(_with_pieces, draft) if pieces else _itself
    batch = torch.from_numpy(np.ascontiguousarray(pictures)).double()
    interpreter = FloatInterpreter(draft.masks, draft.exact_weights(), dtype=torch.float64)
    found = finished(interpreter.run(draft.graph(), batch), draft.finals)
    with torch.no_grad():
        try:
            expected = run(copied(module).double(), batch.clone())
        except RuntimeError:  # layers made in forward, in float32
            expected = run(copied(module), batch.float())
    return found, (two_outputs(expected, draft) if binary else expected).double()


def _itself(module: nn.Module, batch: Tensor) -> Tensor:
    return outputs_of(module(batch))


def _with_pieces(draft: Draft, module: nn.Module, batch: Tensor) -> Tensor:
    replaced = Replaced(draft.pieces)
    with eagerly(), replaced:
        found = outputs_of(module(batch))
    if replaced.missing:
        raise OtherCallsError
    return found


def _compared_with_pieces(module: nn.Module, draft: Draft, pictures: NDArray[np.float32], binary: bool) -> bool:
    """Compare the graph with the module, with the same pieces in both; False: the module cannot be run with them."""
    if not draft.pieces:
        return False
    try:
        _check_equal(module, draft, *_outputs(module, draft, pictures, binary, pieces=True))
    except OtherCallsError:
        return False
    return True


def _check_equal(module: nn.Module, draft: Draft, found: Tensor, expected: Tensor) -> None:
    for one, other in zip(*(in_parts(values.numpy(), _sizes(draft)) for values in (found, expected)), strict=True):
        error = float(np.abs(one - other).max())
        allowed = _TOLERANCE * (float(np.abs(other).max()) or 1.0)
        if not error <= allowed:
            raise UnsupportedLayerError(
                f"{type(module).__name__}: expected the exported graph's logits within {allowed:.2g} of the module's, "
                f"found {error:.2g}: does its code keep values from picture to picture, leave torch, or draw at random?"
            )


def _sizes(draft: Draft) -> list[int]:
    return [size for size, _ in draft.finals]


def _approximation(module: nn.Module, draft: Draft, pictures: NDArray[np.float32], binary: bool) -> Approximation:
    runs = [
        _outputs(module, draft, pictures[first : first + _BATCH], binary)
        for first in range(0, min(len(pictures), _APPROXIMATED), _BATCH)
    ]
    found, expected = (torch.cat([run[part] for run in runs]).numpy() for part in (0, 1))
    near = nearness(found, expected, _sizes(draft))
    return Approximation(
        functions=len(draft.approximated),
        function_error=max(error for _, error in draft.approximated),
        error=near.error,
        agreement=near.agreement,
    )
