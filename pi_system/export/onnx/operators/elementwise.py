"""Arithmetic and activations. What is not supported is refused when the torch function is traced."""

from collections.abc import Callable
from functools import reduce
from typing import Any, Final

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor

from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators.node import Node, Rule, Value

__all__ = ["RULES"]

_REAL: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def _function(function: Callable[..., Any]) -> Rule:
    """A torch function of the inputs alone."""
    return lambda builder, node, given: builder.call(node.name, function, *given)


def _with(function: Callable[..., Any], **defaults: float) -> Rule:
    """A torch function of one input, with numbers that are attributes."""

    def rule(builder: Builder, node: Node, given: list[Any]) -> Traced:
        numbers = [node.number(name, default) for name, default in defaults.items()]
        return builder.call(node.name, function, given[0], *numbers)

    return rule


def _over_all(function: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    """A function of two, over any number of inputs."""

    def rule(builder: Builder, node: Node, given: list[Any]) -> Value:
        total: Any = reduce(lambda a, b: builder.call(node.name, function, a, b), given)
        return total  # type: ignore[no-any-return]

    return rule


def _mean(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(node.name, lambda *values: sum(values) / len(values), *given)


def _clip(builder: Builder, node: Node, given: list[Any]) -> Traced:
    def bound(position: int, name: str) -> float | None:
        value = given[position] if len(given) > position else None
        if value is None:
            stated = node.attributes.get(name)
        else:
            stated = node.constant(value, name).reshape(())
        return None if stated is None or abs(float(stated)) > 3e38 else float(stated)

    x: Traced = given[0]
    low, high = bound(1, "min"), bound(2, "max")
    if low is None and high is None:
        return x
    if low == 0 and high is None:
        return builder.call(node.name, torch.relu, x)
    return builder.call(node.name, torch.clamp, x, low, high)


def _prelu(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x, slope = given[0], node.constant(given[1], "slopes")
    channels = x.shape[1] if len(x.shape) > 1 else 1
    if slope.size == 1 or (slope.size == channels and slope.ndim == len(x.shape) - 1 and slope.shape[0] == channels):
        return builder.call(node.name, F.prelu, x, slope.reshape(-1))
    return builder.call(node.name, lambda value, factor: F.relu(value) - factor * F.relu(-value), x, slope)


def _gelu(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(node.name, F.gelu, given[0], approximate=node.text("approximate", "none"))


def _pow(builder: Builder, node: Node, given: list[Any]) -> Traced:
    exponent = node.constant(given[1], "exponent")
    return builder.call(node.name, torch.pow, given[0], float(exponent.reshape(())) if exponent.size == 1 else exponent)


def _same(builder: Builder, node: Node, given: list[Any]) -> list[Value]:
    return [given[0], None]


def _cast(builder: Builder, node: Node, given: list[Any]) -> Traced:
    if node.integer("to", 1) not in _REAL:
        raise node.refused("real numbers", f"data type {node.integer('to', 1)}")
    traced: Traced = given[0]
    return traced


def _softmax(function: Callable[..., Any]) -> Rule:
    def rule(builder: Builder, node: Node, given: list[Any]) -> Traced:
        axis = node.integer("axis", 1 if node.version < 13 else -1)
        return builder.call(node.name, function, given[0], axis)

    return rule


def _where(builder: Builder, node: Node, given: list[Any]) -> Traced:
    condition = node.constant(given[0], "choice").astype(np.bool_)
    return builder.call(node.name, torch.where, condition, given[1], given[2])


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


RULES: Final[dict[str, Rule]] = {
    "Add": _function(torch.add),
    "Sub": _function(torch.sub),
    "Mul": _function(torch.mul),
    "Div": _function(torch.div),
    "Max": _over_all(torch.maximum),
    "Min": _over_all(torch.minimum),
    "Sum": _over_all(torch.add),
    "Mean": _mean,
    "Neg": _function(torch.neg),
    "Abs": _function(torch.abs),
    "Pow": _pow,
    "Relu": _function(torch.relu),
    "LeakyRelu": _with(F.leaky_relu, alpha=0.01),
    "PRelu": _prelu,
    "Clip": _clip,
    "ThresholdedRelu": _with(lambda x, alpha: F.threshold(x, alpha, 0.0), alpha=1.0),
    "HardSigmoid": _with(_hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _function(F.hardswish),
    "Sigmoid": _function(torch.sigmoid),
    "Tanh": _function(torch.tanh),
    "Erf": _function(torch.erf),
    "Elu": _with(F.elu, alpha=1.0),
    "Selu": _with(
        lambda x, alpha, gamma: gamma * F.elu(x, alpha),
        alpha=1.67326319217681884765625,
        gamma=1.05070102214813232421875,
    ),
    "Celu": _with(F.celu, alpha=1.0),
    "Softplus": _function(F.softplus),
    "Mish": _function(F.mish),
    "Gelu": _gelu,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Where": _where,
    "Greater": _function(torch.gt),
    "Less": _function(torch.lt),
    "Equal": _function(torch.eq),
    **{
        name: _function(getattr(torch, name.lower()))
        for name in ("Exp", "Log", "Sqrt", "Reciprocal", "Sign", "Sin", "Cos")
    },
    **{name: _function(getattr(torch, name.lower())) for name in ("Floor", "Ceil", "Round")},
    **dict.fromkeys(["Identity", "Dropout", "CastLike"], _same),
    "Cast": _cast,
}
