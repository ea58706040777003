"""Smooth functions: left out at the end of a network, straight pieces inside it, where that is asked for.

Hardswish is neither: two ReLUs and a square are all of it.
"""

from math import prod
from typing import Any, Final

import numpy as np
import torch

from pi_system.errors import ConfigError
from pi_system.export.draft import Array, Draft
from pi_system.export.lazy import Lazy, Refused
from pi_system.export.ops.arithmetic import add, product, subtract
from pi_system.export.ops.rectified import rectified_parts
from pi_system.export.ops.refusals import REFUSALS, STRAIGHT
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.placing import in_place_of
from pi_system.export.straight import Pieces, straight_pieces

__all__ = ["APPROXIMATED", "RULES", "SMOOTH", "resolved"]

_KINKS: Final = dict.fromkeys(["elu", "celu", "selu"], (0.0,))
_INSIDE: Final = {"sigmoid": "sigmoid", "log_sigmoid": "log_sigmoid_forward"}
"""Functions that may stand inside, too, by what they are called at the end."""


def _final(name: str) -> Rule:
    def rule(tracer: Tracing, node: str, x: Lazy, *args: Any, **kwargs: Any) -> Lazy:
        if name not in _INSIDE and prod(x.shape[2:]) != 1:
            raise Refused(
                f"{name}: expected it over the classes of one output; leave it out and apply it to the result"
            )
        return Lazy(x.node, x.index, x.factor, x.offset, name, asked=tracer.asked)

    return rule


def resolved(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    """The value of what a network was thought to end with, for something that reads it.

    Raises:
        Refused: it is a softmax, or nothing is approximated.
    """
    inside = Lazy(x.node, x.index, x.factor, x.offset)
    if x.final not in _INSIDE:
        raise Refused(
            f"expected {x.final} at the very end of the network only, where it changes no label; leave it out here "
            "(an ensemble may average logits)"
        )
    if x.asked is None:
        raise Refused(f"{x.final}: expected it at the very end of the network only, or {STRAIGHT}")
    tracer.asked = x.asked
    found: Lazy = APPROXIMATED[_INSIDE[x.final]](tracer, node, inside)
    return found


def _pieces(name: str) -> Rule:
    def rule(tracer: Tracing, node: str, x: Any, *args: Any, **kwargs: Any) -> Lazy:
        if not isinstance(x, Lazy) or tracer.asked is None:
            raise Refused(f"{name}: {REFUSALS.get(name, STRAIGHT)}")

        def function(values: Array) -> Array:
            out = getattr(torch.ops.aten, name)(torch.from_numpy(values), *args, **kwargs)
            return np.asarray((out[0] if isinstance(out, tuple) else out).numpy())

        try:
            pieces = straight_pieces(function, tracer.asked.span, tracer.allowed, _KINKS.get(name, ()))
        except ConfigError as error:
            raise Refused(f"{name}: {error}") from error
        tracer.draft.approximated.append((node, pieces.error))
        tracer.draft.pieces[tracer.asked.call] = tracer.asked.op, pieces
        return _summed(tracer, node, x, pieces)

    return rule


def _summed(tracer: Tracing, node: str, x: Lazy, pieces: Pieces) -> Lazy:
    """Pieces of a value: every channel once a knot, shifted; one layer of ReLUs; their sum as a layer of weights."""
    straight = x.scaled(torch.tensor(pieces.slope)).shifted(torch.tensor(pieces.offset))
    count = len(pieces.knots)
    if count == 0:
        return straight
    draft = tracer.draft
    source, read = in_place_of(draft, f"{node}.in", x)
    shape = draft.nodes[source].shape
    channels, rest = shape[0], shape[1:] or (1, 1)
    size = rest[0] * rest[1]
    places = [[c * size for c in range(channels) for _ in range(count)]]
    places += [[row * rest[1] for row in range(rest[0])], list(range(rest[1]))]
    repeated = draft.gather(f"{node}.repeated", source, places)
    shifted = draft.signed(f"{node}.shifted", repeated, np.tile(-pieces.knots, channels))
    weights = np.tile(pieces.weights, (channels, 1))[:, :, None, None]
    shift = np.full(channels, pieces.offset if pieces.slope == 0 else 0.0)
    out = draft.conv2d(f"{node}.sum", draft.relu(node, shifted), weights, shift, groups=channels)
    total = Lazy(out, read.index)
    return total if pieces.slope == 0 else add(tracer, node, total, straight)


def _hardswish(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    """x relu6(x + 3) / 6 = ((c + 3/2)^2 - 9/4) / 6 + relu(x - 3) with c = relu(x + 3) - relu(x - 3) - 3: exact."""
    above, beyond = rectified_parts(tracer, node, x, [(1, 3.0), (1, -3.0)])
    inside = subtract(tracer, f"{node}.inside", above, beyond).shifted(torch.tensor(-1.5))
    draft = tracer.draft
    square = _quartered(draft, f"{node}.square", inside)
    curved = square.scaled(torch.tensor(4 / 6)).shifted(torch.tensor(-2.25 / 6))
    return add(tracer, f"{node}.sum", curved, beyond)


def _quartered(draft: Draft, node: str, x: Lazy) -> Lazy:
    """(x / 2)^2."""
    source, read = in_place_of(draft, f"{node}.in", x)
    return Lazy(draft.square(node, source, halvings=2), read.index)


def _gated(tracer: Tracing, node: str, x: Lazy, dim: int = -1) -> Lazy:
    """The first half times the sigmoid of the second."""
    value, gate = (x.moved(lambda p, i=i: p.chunk(2, dim)[i]) for i in (0, 1))
    return product(tracer, node, value, APPROXIMATED["sigmoid"](tracer, f"{node}.gate", gate))


RULES: Final[dict[str, Rule]] = {
    "_softmax": _final("softmax"),
    "_log_softmax": _final("log_softmax"),
    "sigmoid": _final("sigmoid"),
    "log_sigmoid_forward": _final("log_sigmoid"),
    "hardswish": _hardswish,
}
_FUNCTIONS: Final = "sigmoid log_sigmoid_forward gelu silu mish tanh elu celu selu softplus erf atan".split()
APPROXIMATED: Final[dict[str, Rule]] = {**{name: _pieces(name) for name in _FUNCTIONS}, "glu": _gated}
"""Rules where approximation is asked for; the first two are called where something reads what they give."""
SMOOTH: Final = frozenset(APPROXIMATED)
"""Whose arguments' range matters."""
