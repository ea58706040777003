"""ReLU, and what is a sum of ReLUs: one layer of comparisons each."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from pi_system.export.draft import Draft
from pi_system.export.lazy import Lazy, Refused, shaped, side_by_side
from pi_system.export.ops.arithmetic import add, negative, subtract
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.placing import as_node, in_place_of

__all__ = ["RULES", "maximum", "rectified_parts", "rectified_sum", "relu"]

Term = tuple[int, float, float]
"""(sign, shift, weight): weight * relu(sign * x + shift)."""


def relu(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    """max(x, 0)."""
    draft = tracer.draft
    scaled = _rectified_scaled(draft, node, x)
    if scaled is not None:
        return scaled
    source, places = in_place_of(draft, f"{node}.in", x)
    return Lazy(draft.relu(node, source), places.index)


def _rectified_scaled(draft: Draft, node: str, x: Lazy) -> Lazy | None:
    """relu(a x + b) = a relu(x + b / a) for a > 0, where no layer in front takes the product in; else None."""
    if x.factor is None or draft.nodes[x.node].op in ("conv2d", "linear") or not bool((x.factor > 0).all()):
        return None
    offset = None if x.offset is None else x.offset / x.factor
    inner = as_node(draft, f"{node}.in", Lazy(x.node, x.index, None, offset))
    return shaped(draft.relu(node, inner), x.shape).scaled(x.factor)


def rectified_parts(tracer: Tracing, node: str, x: Lazy, terms: Sequence[tuple[int, float]]) -> list[Lazy]:
    """relu(sign * x + shift) for each (sign, shift), in one layer."""
    draft = tracer.draft
    source, read = in_place_of(draft, f"{node}.in", x)
    ones = np.ones(draft.nodes[source].shape[0])
    parts = [draft.signed(f"{node}.shifted", source, shift * ones, negated=sign < 0) for sign, shift in terms]
    out = draft.relu(node, parts[0] if len(parts) == 1 else draft.concat(f"{node}.both", parts))
    return side_by_side(read, out, len(terms))


def rectified_sum(tracer: Tracing, node: str, x: Lazy, terms: Sequence[Term], constant: float = 0.0) -> Lazy:
    """Sum of weight * relu(sign * x + shift) over (sign, shift, weight), plus a constant: one layer of ReLUs."""
    parts = rectified_parts(tracer, node, x, [(sign, shift) for sign, shift, _ in terms])
    weighted = [
        part if weight == 1 else part.scaled(torch.tensor(float(weight)))
        for part, (_, _, weight) in zip(parts, terms, strict=True)
    ]
    total = weighted[0]
    for part in weighted[1:]:
        total = add(tracer, f"{node}.sum", total, part)
    return total if constant == 0 else total.shifted(torch.tensor(float(constant)))


def _clamp(tracer: Tracing, node: str, x: Lazy, low: Any = None, high: Any = None) -> Lazy:
    low, high = (_scalar(bound) for bound in (low, high))
    if isinstance(x, Lazy) and any(isinstance(bound, Tensor | Lazy) for bound in (low, high)):
        return _between(tracer, node, x, low, high)
    if not isinstance(x, Lazy):
        raise Refused("clamp: expected bounds that do not depend on the picture")
    low, high = (None if _boundless(bound) else bound for bound in (low, high))
    if low is None and high is None:
        return x
    if low is None:
        return rectified_sum(tracer, node, x, [(-1, float(high), -1.0)], float(high))
    if high is not None and high <= low:
        return x.scaled(torch.tensor(0.0)).shifted(torch.tensor(float(high)))
    below = (1, -float(low), 1.0)
    terms = [below] if high is None else [below, (1, -float(high), -1.0)]
    return rectified_sum(tracer, node, x, terms, float(low))


def _scalar(bound: Any) -> Any:
    """A constant bound that is the same everywhere as a number."""
    alike = isinstance(bound, Tensor) and bool((bound == bound.reshape(-1)[0]).all())
    return float(bound.reshape(-1)[0]) if alike else bound


def _boundless(bound: Any) -> bool:
    return bound is None or abs(float(bound)) > 1e30


def _between(tracer: Tracing, node: str, x: Lazy, low: Any, high: Any) -> Lazy:
    """A clamp whose bounds are tensors."""
    x = x if low is None else maximum(tracer, f"{node}.low", x, low)
    return x if high is None else _minimum(tracer, f"{node}.high", x, high)


def _clamp_max(tracer: Tracing, node: str, x: Lazy, high: Any) -> Lazy:
    return _clamp(tracer, node, x, None, high)


def _hardtanh(tracer: Tracing, node: str, x: Lazy, low: float = -1, high: float = 1) -> Lazy:
    return _clamp(tracer, node, x, low, high)


def _relu6(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    return _clamp(tracer, node, x, 0, 6)


def _hardsigmoid(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    return _clamp(tracer, node, x.shifted(torch.tensor(3.0)), 0, 6).scaled(torch.tensor(1 / 6))


def _leaky(tracer: Tracing, node: str, x: Lazy, slope: float = 0.01) -> Lazy:
    return rectified_sum(tracer, node, x, [(1, 0.0, 1.0), (-1, 0.0, -float(slope))])


def _randomised(
    tracer: Tracing, node: str, x: Lazy, noise: Any, low: float = 1 / 8, high: float = 1 / 3, *_: Any
) -> Lazy:
    return _leaky(tracer, node, x, (low + high) / 2)


def _abs(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    return rectified_sum(tracer, node, x, [(1, 0.0, 1.0), (-1, 0.0, 1.0)])


def _softshrink(tracer: Tracing, node: str, x: Lazy, width: float = 0.5) -> Lazy:
    return rectified_sum(tracer, node, x, [(1, -float(width), 1.0), (-1, -float(width), -1.0)])


def _prelu(tracer: Tracing, node: str, x: Lazy, slope: Any) -> Lazy:
    if isinstance(slope, Lazy):
        raise Refused("prelu: expected slopes that do not depend on the picture")
    above, below = rectified_parts(tracer, node, x, [(1, 0.0), (-1, 0.0)])
    shape = slope.shape if slope.ndim > 1 else (1, -1, *(1,) * (len(x.shape) - 2))
    return add(tracer, f"{node}.sum", above, below.scaled(-slope.reshape(shape)))


def _threshold(tracer: Tracing, node: str, x: Lazy, threshold: float, value: float) -> Lazy:
    if threshold != value:
        raise Refused("threshold: expected the value to be the threshold, which makes it a clamp")
    return _clamp(tracer, node, x, threshold)


def maximum(tracer: Tracing, node: str, a: Any, b: Any) -> Lazy:
    """max(a, b) = b + relu(a - b); one of them may be a constant."""
    if not isinstance(a, Lazy):
        a, b = b, a
    rectified = relu(tracer, node, subtract(tracer, f"{node}.difference", a, b))
    return add(tracer, f"{node}.sum", rectified, b)


def _minimum(tracer: Tracing, node: str, a: Any, b: Any) -> Lazy:
    minus = [negative(tracer, node, x) if isinstance(x, Lazy) else -torch.as_tensor(x) for x in (a, b)]
    return negative(tracer, node, maximum(tracer, node, *minus))


RULES: Final[dict[str, Rule]] = {
    "relu": relu,
    **dict.fromkeys(["clamp", "clip"], _clamp),
    "clamp_min": _clamp,
    "clamp_max": _clamp_max,
    "hardtanh": _hardtanh,
    "relu6": _relu6,
    "hardsigmoid": _hardsigmoid,
    "leaky_relu": _leaky,
    "rrelu_with_noise": _randomised,
    **dict.fromkeys(["prelu", "_prelu_kernel"], _prelu),
    "threshold": _threshold,
    "abs": _abs,
    "softshrink": _softshrink,
    "maximum": maximum,
    "minimum": _minimum,
}
