"""Convolutions, matrix products and normalisation."""

from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators.node import Node, Rule
from pi_system.export.onnx.operators.windows import padded, windows

__all__ = ["RULES"]


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _convolution(builder: Builder, node: Node, given: list[Any]) -> Traced:
    weight = node.constant(given[1], "weights")
    bias = node.constant(given[2], "biases") if len(given) > 2 and given[2] is not None else None
    axes = weight.ndim - 2
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d}.get(axes)
    if kind is None:
        raise node.refused("one or two spatial axes", str(axes))
    stride, dilation, padding, uneven = windows(node, given[0], list(weight.shape[2:]))
    x = padded(builder, node, given[0], uneven)
    groups = node.integer("group", 1)
    layer = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride,
        padding,
        dilation,
        groups,
        bias is not None,
    )
    layer.weight = nn.Parameter(_tensor(weight))
    layer.bias = None if bias is None else nn.Parameter(_tensor(bias))
    return builder.layer(node.name, layer, x)


def _transposed(builder: Builder, node: Node, given: list[Any]) -> Traced:
    """Without padding, of which then as much is cut off."""
    weight = node.constant(given[1], "weights")
    bias = node.constant(given[2], "biases") if len(given) > 2 and given[2] is not None else None
    axes = weight.ndim - 2
    function: Any = {1: F.conv_transpose1d, 2: F.conv_transpose2d}.get(axes)
    if function is None or "output_shape" in node.attributes or node.text("auto_pad", "NOTSET") != "NOTSET":
        raise node.refused("one or two spatial axes and stated pads", f"{axes} axes and others")
    pads, extra = node.integers("pads", [0] * 2 * axes), node.integers("output_padding", [0] * axes)
    stride, dilation = node.integers("strides", [1] * axes), node.integers("dilations", [1] * axes)
    options: dict[str, Any] = {"stride": tuple(stride), "output_padding": tuple(extra)}
    options |= {"groups": node.integer("group", 1), "dilation": tuple(dilation)}
    out = builder.call(node.name, function, given[0], weight, bias, **options)
    cut = [size for axis in reversed(range(axes)) for size in (-pads[axis], -pads[axes + axis])]
    return builder.call(f"{node.name}_cut", F.pad, out, cut) if any(cut) else out


def _linear(builder: Builder, name: str, x: Traced, weight: NDArray[Any], bias: NDArray[Any] | None) -> Traced:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(_tensor(weight))
    if bias is not None:
        layer.bias = nn.Parameter(_tensor(np.broadcast_to(bias.reshape(-1), weight.shape[:1])))
    return builder.layer(name, layer, x)


def _gemm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    node.require("transA", 0, 0)
    weight = node.constant(given[1], "weights") * node.number("alpha", 1.0)
    stated = len(given) > 2 and given[2] is not None
    bias = node.constant(given[2], "biases") * node.number("beta", 1.0) if stated else None
    return _linear(builder, node.name, given[0], weight if node.integer("transB", 0) else weight.T, bias)


def _matmul(builder: Builder, node: Node, given: list[Any]) -> Traced:
    if isinstance(given[0], Traced) and isinstance(given[1], np.ndarray) and given[1].ndim == 2:
        return _linear(builder, node.name, given[0], given[1].T, None)
    return builder.call(node.name, torch.matmul, given[0], given[1])


def _einsum(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(node.name, torch.einsum, node.text("equation", ""), *given)


def _batch_norm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    node.require("training_mode", 0, 0)
    scale, bias, mean, variance = (node.constant(value, "statistics") for value in given[1:5])
    epsilon = node.number("epsilon", 1e-5)
    return builder.call(node.name, F.batch_norm, given[0], mean, variance, scale, bias, False, 0.0, epsilon)


def _instance_norm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(node.name, F.group_norm, given[0], given[0].shape[1], given[1], given[2])


def _group_norm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(node.name, F.group_norm, given[0], node.integer("num_groups", 1))


def _layer_norm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    axis = node.integer("axis", -1) % len(given[0].shape)
    return builder.call(node.name, F.layer_norm, given[0], list(given[0].shape[axis:]))


RULES: Final[dict[str, Rule]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Einsum": _einsum,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
}
