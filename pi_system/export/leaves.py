"""Modules of this project's own training that are one node: their masks and coefficients are read, not their code."""

from collections.abc import Callable
from typing import Any

from torch import nn

from pi_system.export.draft import Draft
from pi_system.export.lazy import Refused
from pi_system.export.mixed import lower_mixed
from pi_system.train.mixed import MixedActivation
from pi_system.train.relu import MaskedReLU
from pi_system.train.square import Square


def _masked_relu(draft: Draft, name: str, module: MaskedReLU, x: str) -> str:
    if module.shape != draft.nodes[x].shape:
        raise Refused(f"MaskedReLU: expected an input of shape {module.shape}, found {draft.nodes[x].shape}")
    return draft.relu(name, x, module.mask.numpy())


def _mixed(draft: Draft, name: str, module: MixedActivation, x: str) -> str:
    if module.shape != draft.nodes[x].shape:
        raise Refused(f"MixedActivation: expected an input of shape {module.shape}, found {draft.nodes[x].shape}")
    if float(module.swap):
        raise Refused(f"MixedActivation: expected polynomials that are swapped in, found swap {float(module.swap):.3g}")
    return lower_mixed(draft, name[-100:], module, x)


def _square(draft: Draft, name: str, module: Square, x: str) -> str:
    return draft.square(name, x, module.halvings)


LEAVES: dict[type[nn.Module], Callable[[Draft, str, Any, str], str]] = {
    MaskedReLU: _masked_relu,
    MixedActivation: _mixed,
    Square: _square,
}
