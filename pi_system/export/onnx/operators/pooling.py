"""Pools, means and sums."""

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F

from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators.node import Node, Rule, Value
from pi_system.export.onnx.operators.windows import padded, windows

__all__ = ["RULES"]


def _by_axes(node: Node, kernel: list[int], functions: tuple[Any, Any]) -> Any:
    if len(kernel) not in (1, 2):
        raise node.refused("one or two spatial axes", str(len(kernel)))
    return functions[len(kernel) - 1]


def _max_pool(builder: Builder, node: Node, given: list[Any]) -> list[Value]:
    kernel = node.integers("kernel_shape", [])
    stride, dilation, padding, uneven = windows(node, given[0], kernel)
    function = _by_axes(node, kernel, (F.max_pool1d, F.max_pool2d))
    x = padded(builder, node, given[0], uneven, float("-inf"))
    ceil = bool(node.integer("ceil_mode", 0))
    return [builder.call(node.name, function, x, tuple(kernel), stride, padding, dilation, ceil_mode=ceil), None]


def _average_pool(builder: Builder, node: Node, given: list[Any]) -> Traced:
    kernel = node.integers("kernel_shape", [])
    stride, dilation, padding, uneven = windows(node, given[0], kernel)
    function = _by_axes(node, kernel, (F.avg_pool1d, F.avg_pool2d))
    counted, ceil = bool(node.integer("count_include_pad", 0)), bool(node.integer("ceil_mode", 0))
    if set(dilation) != {1}:
        raise node.refused("no dilation", str(dilation))
    pool = (tuple(kernel), stride, padding, ceil, counted or not any(padding))
    out = builder.call(node.name, function, padded(builder, node, given[0], uneven), *pool)
    if not uneven or counted:
        return out
    ones = function(F.pad(torch.ones_like(given[0].example), uneven), *pool)  # the share of each window that is real
    return builder.call(f"{node.name}_real", torch.div, out, ones.numpy())


def _reduced(function: Callable[..., Any]) -> Rule:
    def rule(builder: Builder, node: Node, given: list[Any]) -> Value:
        x: Traced = given[0]
        axes = node.listed("axes", given, 1)
        if not axes:
            if node.integer("noop_with_empty_axes", 0):
                return x
            axes = list(range(len(x.shape)))
        axes = sorted(axis % len(x.shape) for axis in axes)
        return builder.call(node.name, function, x, axes, bool(node.integer("keepdims", 1)))

    return rule


def _everywhere(function: Callable[..., Any]) -> Rule:
    """Over all spatial axes."""

    def rule(builder: Builder, node: Node, given: list[Any]) -> Traced:
        return builder.call(node.name, function, given[0], list(range(2, len(given[0].shape))), True)

    return rule


def _arg_max(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(node.name, torch.argmax, given[0], node.integer("axis", 0), bool(node.integer("keepdims", 1)))


RULES: Final[dict[str, Rule]] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _everywhere(torch.mean),
    "GlobalMaxPool": _everywhere(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMin": _reduced(torch.amin),
    "ReduceL2": _reduced(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ArgMax": _arg_max,
}
