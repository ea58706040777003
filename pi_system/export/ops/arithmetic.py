"""Sums, products and batch normalisation."""

from dataclasses import replace
from typing import Any, Final

import torch

from pi_system.export.draft import Draft
from pi_system.export.lazy import Lazy, Refused, broadcast, shaped, side_by_side
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.placing import as_node

__all__ = ["RULES", "add", "negative", "product", "squared", "subtract"]


def add(tracer: Tracing, node: str, a: Any, b: Any, alpha: float = 1) -> Lazy:
    """a + alpha b; one of them may be a constant."""
    if not isinstance(b, Lazy):
        shifted: Lazy = a.shifted(torch.as_tensor(b) * alpha)
        return shifted
    b = b if alpha == 1 else b.scaled(torch.tensor(float(alpha)))
    if not isinstance(a, Lazy):
        other: Lazy = b.shifted(torch.as_tensor(a))
        return other
    return _total(tracer.draft, node, a, b)


def _total(draft: Draft, node: str, a: Lazy, b: Lazy) -> Lazy:
    shape = broadcast(a.index, b.index)
    a, b = (x if x.index.shape == shape else x.spread(shape) for x in (a, b))
    if a.node == b.node and torch.equal(a.index, b.index):
        ones = torch.ones_like(a.index)
        parts = [part if part is not None else ones for part in (a.factor, b.factor)]
        total = Lazy(a.node, a.index, parts[0] + parts[1], a.offset)
        return total if b.offset is None else total.shifted(b.offset)
    out = draft.add(node, as_node(draft, f"{node}.a", a), as_node(draft, f"{node}.b", b))
    return shaped(out, tuple(shape))


def subtract(tracer: Tracing, node: str, a: Any, b: Any, alpha: float = 1) -> Lazy:
    """a - alpha b; one of them may be a constant."""
    return add(tracer, node, a, b, -alpha)


def _rsub(tracer: Tracing, node: str, a: Any, b: Any, alpha: float = 1) -> Lazy:
    return add(tracer, node, b, a, -alpha)


def negative(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    """-x."""
    return x.scaled(torch.tensor(-1.0))


def product(tracer: Tracing, node: str, a: Any, b: Any) -> Lazy:
    """a b. Of two traced values by squares: a b = ((a + b) / 2)^2 - ((a - b) / 2)^2, both in one layer."""
    if not (isinstance(a, Lazy) and isinstance(b, Lazy)):
        x, constant = (a, b) if isinstance(a, Lazy) else (b, a)
        scaled: Lazy = x.scaled(torch.as_tensor(constant))
        return scaled
    if _same(a, b):
        return squared(tracer, node, a)
    draft = tracer.draft
    shape = broadcast(a.index, b.index)
    both = [
        as_node(draft, f"{node}.{name}", add(tracer, f"{node}.{name}", a, b, sign))
        for name, sign in (("sum", 1), ("difference", -1))
    ]
    squares = draft.square(f"{node}.squares", draft.concat(f"{node}.both", both), halvings=2)
    total, difference = side_by_side(shaped(both[0], tuple(shape)), squares, 2)
    return subtract(tracer, node, total, difference)


def _same(a: Lazy, b: Lazy) -> bool:
    plainly = a.factor is b.factor is None and a.offset is b.offset is None
    return plainly and a.node == b.node and a.shape == b.shape and torch.equal(a.index, b.index)


def squared(tracer: Tracing, node: str, x: Lazy) -> Lazy:
    """x^2."""
    draft = tracer.draft
    return shaped(draft.square(node, as_node(draft, f"{node}.in", x)), x.shape)


def _pow(tracer: Tracing, node: str, x: Any, exponent: Any) -> Lazy:
    if not isinstance(x, Lazy) or isinstance(exponent, Lazy) or float(exponent) not in (1.0, 2.0, 3.0, 4.0):
        raise Refused("pow: expected the exponent 1, 2, 3 or 4")
    if float(exponent) == 1:
        return x
    square = squared(tracer, f"{node}.square" if float(exponent) > 2 else node, x)
    if float(exponent) == 2:
        return square
    return squared(tracer, node, square) if float(exponent) == 4 else product(tracer, node, square, x)


def _div(tracer: Tracing, node: str, a: Any, b: Any, rounding_mode: Any = None) -> Lazy:
    if isinstance(b, Lazy):
        raise Refused(
            "expected a divisor that does not depend on the picture (normalisation by batch statistics merges instead)"
        )
    if rounding_mode is not None:
        raise Refused("div: expected no rounding; leave it out")
    quotient: Lazy = a.scaled(1.0 / torch.as_tensor(b).double())
    return quotient


def _add_product(tracer: Tracing, node: str, x: Any, a: Any, b: Any, value: float = 1) -> Lazy:
    return add(tracer, node, x, product(tracer, f"{node}.product", a, b) if _traced(a, b) else a * b, value)


def _add_quotient(tracer: Tracing, node: str, x: Any, a: Any, b: Any, value: float = 1) -> Lazy:
    return add(tracer, node, x, _div(tracer, node, a, b) if _traced(a, b) else a / b, value)


def _traced(*values: Any) -> bool:
    return any(isinstance(value, Lazy) for value in values)


def _lerp(tracer: Tracing, node: str, a: Any, b: Any, weight: Any) -> Lazy:
    apart = subtract(tracer, f"{node}.difference", b, a) if _traced(a, b) else b - a
    return add(tracer, node, a, product(tracer, f"{node}.product", apart, weight))


def _batch_norm(tracer: Tracing, node: str, x: Lazy, weight: Any, bias: Any, mean: Any, var: Any, *rest: Any) -> Lazy:
    training, eps = (rest[0], rest[2]) if len(rest) == 3 else (False, rest[-1])
    if training or mean is None or var is None:
        raise Refused("batch normalisation: expected running statistics; train with track_running_stats=True")
    factor = 1.0 / torch.sqrt(var.double() + eps)
    factor = factor if weight is None else factor * weight.double()
    offset = -mean.double() * factor
    offset = offset if bias is None else offset + bias.double()
    shape = (1, -1, *(1,) * (len(x.shape) - 2))
    return replace(x.scaled(factor.reshape(shape)).shifted(offset.reshape(shape)), hint=node)


RULES: Final[dict[str, Rule]] = {
    "add": add,
    "sub": subtract,
    "rsub": _rsub,
    "neg": negative,
    "mul": product,
    "div": _div,
    "addcmul": _add_product,
    "addcdiv": _add_quotient,
    "lerp": _lerp,
    "pow": _pow,
    "square": squared,
    **dict.fromkeys(
        ["native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "cudnn_batch_norm"],
        _batch_norm,
    ),
}
