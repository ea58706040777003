"""Operators of ONNX as torch layers and functions: what ``torch.onnx`` writes for convolutional networks.

What a rule makes may still be refused by export, by the name of the torch layer.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from pi_system.errors import UnsupportedLayerError
from pi_system.export.onnx.builder import Builder, Traced

__all__ = ["OPERATORS", "Node"]

Value: TypeAlias = Traced | NDArray[Any] | None
Rule: TypeAlias = Callable[[Builder, "Node", list[Any]], Value | list[Value]]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the file.

    Attributes:
        name: its own, or its operator and number.
        op: operator.
        attributes: by name.
        version: of the operator set.
    """

    name: str
    op: str
    attributes: dict[str, Any]
    version: int

    @classmethod
    def of(cls, entry: Any, index: int, version: int) -> "Node":
        """Read a NodeProto."""
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in entry.attribute}
        return cls(entry.name or f"{entry.op_type}_{index}", entry.op_type, attributes, version)

    def integer(self, name: str, default: int) -> int:
        """An attribute."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """An attribute."""
        return float(self.attributes.get(name, default))

    def integers(self, name: str, default: list[int]) -> list[int]:
        """An attribute."""
        return [int(value) for value in self.attributes.get(name, default)]

    def require(self, name: str, default: int, expected: int) -> None:
        """Refuse another value of an attribute."""
        if self.integer(name, default) != expected:
            raise self.refused(f"{name}={expected}", f"{self.integer(name, default)}")

    def refused(self, expected: str, found: str) -> UnsupportedLayerError:
        """The error that names this node."""
        return UnsupportedLayerError(f"node {self.name}, {self.op}: expected {expected}, found {found}")

    def constant(self, value: Any, what: str) -> NDArray[Any]:
        """``value``, which must not depend on the network's input."""
        if not isinstance(value, np.ndarray):
            raise self.refused(f"constant {what}", "a value of the network" if value is not None else "none")
        return value


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _windows(node: Node, x: Traced, kernel: list[int]) -> tuple[Any, Any, Any, Any]:
    """Stride, dilation, symmetric padding, and what is to be padded before: of F.pad, empty if nothing is."""
    axes = len(kernel)
    stride, dilation = node.integers("strides", [1] * axes), node.integers("dilations", [1] * axes)
    pads = node.integers("pads", [0] * 2 * axes)
    mode = node.attributes.get("auto_pad", b"NOTSET").decode()
    if mode.startswith("SAME"):
        sizes = zip(x.shape[2:], kernel, stride, dilation, strict=True)
        wanted = [max(0, (-(-size // step) - 1) * step + (k - 1) * d + 1 - size) for size, k, step, d in sizes]
        small = [one // 2 for one in wanted]
        large = [one - less for one, less in zip(wanted, small, strict=True)]
        pads = small + large if mode == "SAME_UPPER" else large + small
    before, after = pads[:axes], pads[axes:]
    if before == after:
        return tuple(stride), tuple(dilation), tuple(before), []
    uneven = [amount for pair in reversed(list(zip(before, after, strict=True))) for amount in pair]
    return tuple(stride), tuple(dilation), (0,) * axes, tuple(uneven)


def _convolution(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x, weight = given[0], node.constant(given[1], "weights")
    bias = node.constant(given[2], "biases") if len(given) > 2 and given[2] is not None else None
    axes = weight.ndim - 2
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d}.get(axes)
    if kind is None:
        raise node.refused("one or two spatial axes", str(axes))
    stride, dilation, padding, uneven = _windows(node, x, list(weight.shape[2:]))
    if uneven:
        x = builder.layer(f"{node.name}_pad", nn.ConstantPad2d(uneven, 0.0), x)
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
    x, weight = given[0], node.constant(given[1], "weights")
    bias = node.constant(given[2], "biases") if len(given) > 2 else None
    if weight.ndim != 4 or "output_shape" in node.attributes:
        raise node.refused("two spatial axes and no output_shape", f"{weight.ndim - 2} axes")
    stride, dilation, padding, uneven = _windows(node, x, list(weight.shape[2:]))
    if uneven:
        raise node.refused("equal padding on both sides", str(node.integers("pads", [])))
    groups = node.integer("group", 1)
    extra = node.integers("output_padding", [0, 0])
    layer = nn.ConvTranspose2d(
        weight.shape[0],
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        stride,
        padding,
        (extra[0], extra[1]),
        groups,
        bias is not None,
        dilation,
    )
    layer.weight = nn.Parameter(_tensor(weight))
    layer.bias = None if bias is None else nn.Parameter(_tensor(bias))
    return builder.layer(node.name, layer, x)


def _linear(builder: Builder, name: str, x: Traced, weight: NDArray[Any], bias: NDArray[Any] | None) -> Traced:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(_tensor(weight))
    if bias is not None:
        layer.bias = nn.Parameter(_tensor(np.broadcast_to(bias.reshape(-1), weight.shape[:1])))
    return builder.layer(name, layer, x)


def _gemm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    node.require("transA", 0, 0)
    weight = node.constant(given[1], "weights") * node.number("alpha", 1.0)
    bias = node.constant(given[2], "biases") * node.number("beta", 1.0) if len(given) > 2 else None
    return _linear(builder, node.name, given[0], weight if node.integer("transB", 0) else weight.T, bias)


def _matmul(builder: Builder, node: Node, given: list[Any]) -> Traced:
    weight = node.constant(given[1], "weights")
    if weight.ndim != 2 or len(given[0].shape) != 2:
        raise node.refused("a product (N, in) x (in, out)", f"{given[0].shape} x {weight.shape}")
    return _linear(builder, node.name, given[0], weight.T, None)


def _affine(builder: Builder, name: str, x: Traced, scale: NDArray[Any], shift: NDArray[Any]) -> Traced:
    """scale * x + shift by channel, as batch normalisation with nothing to normalise."""
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(x.shape)]
    layer = kind(x.shape[1], eps=0.0)
    layer.weight, layer.bias = nn.Parameter(_tensor(scale)), nn.Parameter(_tensor(shift))
    return builder.layer(name, layer, x)


def _batch_norm(builder: Builder, node: Node, given: list[Any]) -> Traced:
    node.require("training_mode", 0, 0)
    scale, bias, mean, variance = (node.constant(value, "statistics") for value in given[1:5])
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    return _affine(builder, node.name, given[0], factor, bias - mean * factor)


def _by_channel(x: Traced, constant: NDArray[Any]) -> NDArray[Any] | None:
    """A constant that is one value a channel of ``x``; None: it is not."""
    channels, axes = x.shape[1], len(x.shape)
    padded = constant.reshape((1,) * (axes - constant.ndim) + constant.shape) if constant.ndim <= axes else constant
    if padded.ndim != axes or padded.size not in (1, channels) or padded.shape[1] not in (1, channels):
        return None
    if padded.size == channels != 1 and padded.shape[1] != channels:
        return None
    return np.broadcast_to(padded.reshape(-1), (channels,)).astype(np.float64)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Max": torch.maximum,
    "Min": torch.minimum,
}


def _arithmetic(builder: Builder, node: Node, given: list[Any]) -> Traced:
    a, b = given[:2]
    if len(given) != 2:
        raise node.refused("two operands", str(len(given)))
    constant, x = (b, a) if isinstance(b, np.ndarray) else (a, b)
    values = _by_channel(x, constant) if isinstance(constant, np.ndarray) and len(x.shape) in (2, 3, 4) else None
    if values is not None and node.op in ("Add", "Sub", "Mul", "Div") and not (node.op == "Div" and constant is a):
        one = np.ones_like(values)
        sign = -one if node.op == "Sub" and constant is a else one
        scale = {"Mul": values, "Div": 1 / values}.get(node.op, sign)
        shift = {"Add": values, "Sub": values if constant is a else -values}.get(node.op, 0 * one)
        return _affine(builder, node.name, x, scale, shift)
    return builder.call(_FUNCTIONS[node.op], a, b)


def _sum(builder: Builder, node: Node, given: list[Any]) -> Value:
    total: Traced = given[0]
    for other in given[1:]:
        total = builder.call(torch.add, total, other)
    return total


def _max_pool(builder: Builder, node: Node, given: list[Any]) -> list[Value]:
    kernel = node.integers("kernel_shape", [])
    stride, dilation, padding, uneven = _windows(node, given[0], kernel)
    kind: Any = {1: nn.MaxPool1d, 2: nn.MaxPool2d}.get(len(kernel))
    if kind is None:
        raise node.refused("one or two spatial axes", str(len(kernel)))
    x = given[0]
    if uneven:
        x = builder.layer(f"{node.name}_pad", nn.ConstantPad2d(uneven, float("-inf")), x)
    ceil = bool(node.integer("ceil_mode", 0))
    return [builder.layer(node.name, kind(kernel, stride, padding, dilation, ceil_mode=ceil), x), None]


def _average_pool(builder: Builder, node: Node, given: list[Any]) -> Traced:
    kernel = node.integers("kernel_shape", [])
    stride, dilation, padding, uneven = _windows(node, given[0], kernel)
    if set(dilation) != {1} or len(kernel) != 2:
        raise node.refused("two spatial axes without dilation", f"{len(kernel)} axes, dilations {dilation}")
    x, counted = given[0], bool(node.integer("count_include_pad", 0))
    if uneven:
        if not counted:
            raise node.refused("equal padding on both sides", str(node.integers("pads", [])))
        x = builder.layer(f"{node.name}_pad", nn.ConstantPad2d(uneven, 0.0), x)
    ceil = bool(node.integer("ceil_mode", 0))
    layer = nn.AvgPool2d((kernel[0], kernel[1]), stride, padding, ceil, counted or not any(padding))
    return builder.layer(node.name, layer, x)


def _mean(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x = given[0]
    axes = node.integers("axes", []) or [int(axis) for axis in (given[1] if len(given) > 1 else [])]
    kept = bool(node.integer("keepdims", 1))
    spatial = list(range(2, len(x.shape)))
    wanted = sorted(axis % len(x.shape) for axis in axes)
    if wanted == spatial and len(spatial) == 2:
        pooled = builder.layer(node.name, nn.AdaptiveAvgPool2d(1), x)
        return pooled if kept else builder.layer(f"{node.name}_flat", nn.Flatten(), pooled)
    return builder.call(torch.mean, x, dim=wanted, keepdim=kept)


def _clip(builder: Builder, node: Node, given: list[Any]) -> Traced:
    def bound(index: int, name: str, default: float) -> float:
        value = given[index] if len(given) > index and given[index] is not None else None
        return node.number(name, default) if value is None else float(node.constant(value, name).reshape(()))

    low, high = bound(1, "min", -np.inf), bound(2, "max", np.inf)
    if low == 0 and high > 3e38:
        return builder.layer(node.name, nn.ReLU(), given[0])
    return builder.layer(node.name, nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high), given[0])


def _prelu(builder: Builder, node: Node, given: list[Any]) -> Traced:
    slope = node.constant(given[1], "slopes").reshape(-1)
    layer = nn.PReLU(len(slope))
    layer.weight = nn.Parameter(_tensor(slope))
    return builder.layer(node.name, layer, given[0])


def _reshape(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x, sizes = given[0], [int(size) for size in node.constant(given[1], "sizes")]
    if not node.integer("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return _to_shape(builder, node, x, tuple(x.example.reshape(sizes).shape))


def _to_shape(builder: Builder, node: Node, x: Traced, shape: tuple[int, ...]) -> Traced:
    if shape == x.shape:
        return x
    if shape[:1] != x.shape[:1]:
        raise node.refused("a reshape that keeps the batch, which comes first", f"{x.shape} to {shape}")
    if len(shape) == 2:
        return builder.layer(node.name, nn.Flatten(), x)
    return builder.call(torch.reshape, x, (builder.batch(x), *shape[1:]))


def _flatten(builder: Builder, node: Node, given: list[Any]) -> Traced:
    axis = node.integer("axis", 1)
    if axis % len(given[0].shape) != 1:
        raise node.refused("axis=1", str(axis))
    return given[0] if len(given[0].shape) == 2 else builder.layer(node.name, nn.Flatten(), given[0])


def _squeeze(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x = given[0]
    axes = node.integers("axes", []) or [int(axis) for axis in (given[1] if len(given) > 1 else [])]
    if node.op == "Squeeze":
        gone = {
            axis % len(x.shape) for axis in axes or [axis for axis, size in enumerate(x.shape) if axis and size == 1]
        }
        return _to_shape(builder, node, x, tuple(size for axis, size in enumerate(x.shape) if axis not in gone))
    example = x.example
    for axis in sorted(axis % (len(x.shape) + len(axes)) for axis in axes):
        example = example.unsqueeze(axis)
    return _to_shape(builder, node, x, tuple(example.shape))


def _concat(builder: Builder, node: Node, given: list[Any]) -> Traced:
    return builder.call(torch.cat, list(given), dim=node.integer("axis", 1))


def _split(builder: Builder, node: Node, given: list[Any]) -> list[Value]:
    x, axis = given[0], node.integer("axis", 0)
    sizes = node.integers("split", []) or [int(size) for size in (given[1] if len(given) > 1 else [])]
    parts = node.integer("num_outputs", 0)
    if not sizes and not parts:
        raise node.refused("sizes", "none")
    parted = builder.call(torch.split, x, sizes or -(-x.shape[axis] // parts), axis)
    return [builder.call(operator.getitem, parted, index) for index in range(len(parted.example))]


def _pad(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x: Traced = given[0]
    mode = node.attributes.get("mode", b"constant").decode()
    pads = node.integers("pads", []) or [int(pad) for pad in node.constant(given[1], "pads")]
    value = node.number("value", 0.0)
    if len(given) > 2 and given[2] is not None:
        value = float(node.constant(given[2], "value").reshape(()))
    axes = len(x.shape)
    if not any(pads):
        return x
    if mode != "constant" or axes != 4 or any(pads[:2]) or any(pads[4:6]) or (len(given) > 3 and given[3] is not None):
        raise node.refused("constant padding of height and width", f"{mode}, {pads}")
    return builder.layer(node.name, nn.ConstantPad2d((pads[3], pads[7], pads[2], pads[6]), value), x)


def _transpose(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x: Traced = given[0]
    order = node.integers("perm", list(reversed(range(len(x.shape)))))
    return x if order == sorted(order) else builder.call(torch.permute, x, tuple(order))


def _same(builder: Builder, node: Node, given: list[Any]) -> list[Value]:
    return [given[0], None]


def _module(make: Callable[[Node], nn.Module]) -> Rule:
    return lambda builder, node, given: builder.layer(node.name, make(node), given[0])


def _last_axis(kind: type[nn.Softmax] | type[nn.LogSoftmax]) -> Rule:
    def rule(builder: Builder, node: Node, given: list[Any]) -> Traced:
        axis = node.integer("axis", 1 if node.version < 13 else -1)
        return builder.layer(node.name, kind(dim=axis), given[0])

    return rule


OPERATORS: dict[str, Rule] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(_FUNCTIONS, _arithmetic),
    "Sum": _sum,
    "Neg": lambda builder, node, given: builder.call(torch.neg, given[0]),
    "Relu": _module(lambda node: nn.ReLU()),
    "LeakyRelu": _module(lambda node: nn.LeakyReLU(node.number("alpha", 0.01))),
    "PRelu": _prelu,
    "Clip": _clip,
    "Sigmoid": _module(lambda node: nn.Sigmoid()),
    "Softmax": _last_axis(nn.Softmax),
    "LogSoftmax": _last_axis(nn.LogSoftmax),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _module(lambda node: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": _module(lambda node: nn.AdaptiveMaxPool2d(1)),
    "ReduceMean": _mean,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _squeeze,
    "Concat": _concat,
    "Split": _split,
    "Pad": _pad,
    "Transpose": _transpose,
    **dict.fromkeys(["Identity", "Dropout", "Cast"], _same),
}
"""Rules by operator. A second output that is never read (masks, indices) is None."""
