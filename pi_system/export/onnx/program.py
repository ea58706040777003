"""A torch.export program to a torch module, by the rules of ONNX's operators, which its own mostly equal.

The program is made functional first (no operation in place). Its parameters and buffers are constants; what depends
on nothing else is computed.
"""

import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from pi_system.errors import InputError, PiError, UnsupportedLayerError
from pi_system.export.intake import one_line
from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators import OPERATORS, Node

_VERSION: Final = 18
"""Of ONNX's operators, whose attributes are made here."""
Attributes = dict[str, Any]
Translation = tuple[str, list[Any], Attributes]
"""An operator of ONNX, its inputs and attributes."""


def read_program(program: torch.export.ExportedProgram) -> nn.Module:
    """The network of a program, as a module in float32.

    Raises:
        UnsupportedLayerError: naming an operation that is not read.
        InputError: it is no network with one input and one output.
    """
    try:
        functional = program.run_decompositions({})
        return _build(functional)
    except PiError:
        raise
    except Exception as error:  # of torch, which checks what it reads
        raise UnsupportedLayerError(f"torch.export program: cannot be read: {one_line(error)}") from error


def _build(program: torch.export.ExportedProgram) -> nn.Module:
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        found = f"{len(signature.user_inputs)}, {len(signature.user_outputs)}"
        raise InputError(f"torch.export program: expected one input and one output, found {found}")
    tensors = program.state_dict | program.constants
    names = signature.inputs_to_parameters | signature.inputs_to_buffers | signature.inputs_to_lifted_tensor_constants
    builder, values = Builder(), dict[fx.Node, Any]()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            held = names.get(node.name)
            values[node] = builder.input(_sizes(node)) if held is None else _array(tensors[held])
        elif node.op == "call_function":
            values[node] = _call(builder, node, values)
        elif node.op == "output":
            (output,) = fx.node.map_arg(node.args[0], lambda one: values[one])
            if not isinstance(output, Traced):
                raise InputError("torch.export program: expected an output that depends on the input")
            return builder.finish(output)
    raise InputError("torch.export program: expected an output, found none")


def _sizes(node: fx.Node) -> tuple[int, ...]:
    """Sizes of the input; an open batch is one."""
    shape = node.meta["val"].shape
    if any(not isinstance(size, int) for size in shape[1:]):
        raise InputError(f"torch.export program: expected fixed sizes behind the batch, found {tuple(shape)}")
    return (shape[0] if isinstance(shape[0], int) else 1, *shape[1:])


def _array(value: Any) -> Any:
    """A tensor as an array; of plain arguments themselves."""
    if not isinstance(value, Tensor):
        return value
    found = value.detach().cpu()
    return (found.float() if found.is_floating_point() else found).numpy()


def _call(builder: Builder, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    mapped: Any = fx.node.map_arg((node.args, dict(node.kwargs)), lambda one: values[one])
    args, kwargs = mapped
    if node.target is operator.getitem:
        return args[0] if isinstance(args[0], Traced) and args[1] == 0 else args[0][args[1]]
    name = str(node.target).removeprefix("aten.")
    try:
        if name.startswith("_assert"):
            return None
        if name == "sym_size.int":
            return args[0].shape[args[1]]
        if not any(isinstance(one, Traced) for one in _flat((args, kwargs))):
            return _computed(node, args, kwargs)
        translate = _TRANSLATIONS.get(name.partition(".")[0])
        if translate is None:
            raise UnsupportedLayerError(f"node {node.name}: expected an operation that export has, found {name}")
        op, given, attributes = translate(*args, **kwargs)
        found = OPERATORS[op](builder, Node(node.name, op, attributes, _VERSION), given)
        return found[0] if isinstance(found, list) and op != "Split" else found
    except PiError:
        raise
    except Exception as error:  # of torch, where shapes or arguments do not fit
        raise UnsupportedLayerError(f"node {node.name}, {name}: {one_line(error)}") from error


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for part in value.values() for one in _flat(part)]
    return [one for part in value for one in _flat(part)] if isinstance(value, list | tuple) else [value]


def _computed(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """What an operation gives for constants."""
    target: Any = node.target

    def tensor(value: Any) -> Any:
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    found = target(*fx.node.map_aggregate(args, tensor), **fx.node.map_aggregate(kwargs, tensor))
    return fx.node.map_aggregate(found, _array)


def _pair(value: Any, axes: int = 2) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [int(one) for one in (values * axes if len(values) == 1 else values)]


def _conv(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Translation:
    axes = w.ndim - 2
    attributes = {"strides": _pair(stride, axes), "dilations": _pair(dilation, axes), "group": groups}
    if isinstance(padding, str):
        return "Conv", [x, w, b], attributes | ({"auto_pad": b"SAME_UPPER"} if padding == "same" else {})
    return "Conv", [x, w, b], attributes | {"pads": _pair(padding, axes) * 2}


def _transposed(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, extra: Any = 0, groups: int = 1, dilation: Any = 1
) -> Translation:
    attributes = {"strides": _pair(stride), "dilations": _pair(dilation), "group": groups}
    attributes |= {"pads": _pair(padding) * 2, "output_padding": _pair(extra)}
    return "ConvTranspose", [x, w] + [b] * (b is not None), attributes


def _linear(x: Any, w: Any, b: Any = None) -> Translation:
    return "Gemm", [x, w] + [b] * (b is not None), {"transB": 1}


def _batch_norm(x: Any, w: Any, b: Any, mean: Any, var: Any, momentum: float, eps: float) -> Translation:
    scale = np.ones_like(mean) if w is None else w
    return "BatchNormalization", [x, scale, np.zeros_like(mean) if b is None else b, mean, var], {"epsilon": eps}


def _max_pool(
    x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Translation:
    attributes = {"kernel_shape": _pair(kernel), "strides": _pair(stride or kernel), "pads": _pair(padding) * 2}
    return "MaxPool", [x], attributes | {"dilations": _pair(dilation), "ceil_mode": int(ceil)}


def _avg_pool(
    x: Any, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, counted: bool = True, by: Any = None
) -> Translation:
    if by is not None:
        raise UnsupportedLayerError(f"avg_pool2d: expected divisor_override=None, found {by}")
    attributes = {"kernel_shape": _pair(kernel), "strides": _pair(stride or kernel), "pads": _pair(padding) * 2}
    return "AveragePool", [x], attributes | {"ceil_mode": int(ceil), "count_include_pad": int(counted)}


def _adaptive(x: Any, size: Any) -> Translation:
    if _pair(size) == [1, 1]:
        return "GlobalAveragePool", [x], {}
    kernel = [have // out for have, out in zip(x.shape[2:], _pair(size), strict=True)]
    if [one * out for one, out in zip(kernel, _pair(size), strict=True)] != list(x.shape[2:]):
        raise UnsupportedLayerError(f"adaptive_avg_pool2d: expected {x.shape[2:]} to be a multiple of {_pair(size)}")
    return "AveragePool", [x], {"kernel_shape": kernel, "strides": kernel}


def _mean(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Translation:
    axes = list(range(len(x.shape))) if dim is None else _pair(dim, 1)
    return "ReduceMean", [x], {"axes": axes, "keepdims": int(keepdim)}


def _binary(op: str) -> Callable[..., Translation]:
    def translate(a: Any, b: Any, alpha: Any = 1) -> Translation:
        if alpha != 1:
            raise UnsupportedLayerError(f"{op}: expected alpha=1, found {alpha}")
        given = [one if isinstance(one, Traced | np.ndarray) else np.array(float(one), np.float32) for one in (a, b)]
        return op, given, {}

    return translate


def _plain(op: str, **attributes: Any) -> Callable[..., Translation]:
    return lambda x, *_, **__: (op, [x], attributes)


def _shaped(x: Any, sizes: Any) -> Translation:
    return "Reshape", [x, np.array([int(size) for size in sizes])], {"allowzero": 1}


def _flatten(x: Any, start: int = 0, end: int = -1) -> Translation:
    return _shaped(x, x.example.flatten(start, end).shape)


def _squeeze(x: Any, dim: Any = None) -> Translation:
    axes = range(len(x.shape)) if dim is None else _pair(dim, 1)
    return "Squeeze", [x], {"axes": [axis for axis in axes if x.shape[axis] == 1]}


def _bounds(x: Any, low: Any = -1.0, high: Any = 1.0) -> Translation:
    def array(value: Any) -> NDArray[Any] | None:
        return None if value is None else np.array(float(value), np.float32)

    return "Clip", [x, array(low), array(high)], {}


_TRANSLATIONS: Final[dict[str, Callable[..., Translation]]] = {
    **dict.fromkeys(["conv2d", "conv1d"], _conv),
    "conv_transpose2d": _transposed,
    "linear": _linear,
    "addmm": lambda b, x, w: ("Gemm", [x, w, b], {}),
    **dict.fromkeys(["mm", "matmul"], lambda x, w: ("MatMul", [x, w], {})),
    "_native_batch_norm_legit_no_training": _batch_norm,
    "relu": _plain("Relu"),
    "hardtanh": _bounds,
    "clamp": lambda x, low=None, high=None: _bounds(x, low, high),
    "clamp_min": lambda x, low: _bounds(x, low, None),
    "relu6": lambda x: _bounds(x, 0.0, 6.0),
    "leaky_relu": lambda x, slope=0.01: ("LeakyRelu", [x], {"alpha": float(slope)}),
    **dict.fromkeys(["prelu", "_prelu_kernel"], lambda x, slope: ("PRelu", [x, slope], {})),
    "sigmoid": _plain("Sigmoid"),
    "softmax": lambda x, dim, dtype=None: ("Softmax", [x], {"axis": dim}),
    "_softmax": lambda x, dim, half: ("Softmax", [x], {"axis": dim}),
    "_log_softmax": lambda x, dim, half: ("LogSoftmax", [x], {"axis": dim}),
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive,
    "mean": _mean,
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "div": _binary("Div"),
    "maximum": _binary("Max"),
    "neg": _plain("Neg"),
    "cat": lambda xs, dim=0: ("Concat", list(xs), {"axis": dim}),
    **dict.fromkeys(["view", "reshape", "_unsafe_view"], _shaped),
    "flatten": _flatten,
    "squeeze": _squeeze,
    "unsqueeze": lambda x, dim: ("Unsqueeze", [x], {"axes": [dim]}),
    "permute": lambda x, order: ("Transpose", [x], {"perm": [axis % len(x.shape) for axis in order]}),
    "pad": lambda x, pads, mode="constant", value=None: (
        "Pad",
        [x],
        {"pads": _pads(x, pads), "mode": mode.encode(), "value": float(value or 0.0)},
    ),
    "constant_pad_nd": lambda x, pads, value=0.0: ("Pad", [x], {"pads": _pads(x, pads), "value": float(value)}),
    **dict.fromkeys(["split", "split_with_sizes"], lambda x, size, dim=0: _split(x, size, dim)),
    **dict.fromkeys(
        ["clone", "alias", "detach", "contiguous", "dropout", "_to_copy", "to", "lift_fresh_copy"], _plain("Identity")
    ),
}


def _pads(x: Any, pads: Any) -> list[int]:
    """Of ONNX: all beginnings, then all ends; of torch: pairs, last axis first."""
    pairs = [(int(pads[i]), int(pads[i + 1])) for i in range(0, len(pads), 2)]
    pairs = [(0, 0)] * (len(x.shape) - len(pairs)) + pairs[::-1]
    return [before for before, _ in pairs] + [after for _, after in pairs]


def _split(x: Any, size: Any, dim: int) -> Translation:
    total = x.shape[dim]
    sizes = list(size) if isinstance(size, list | tuple) else [min(size, total - at) for at in range(0, total, size)]
    return "Split", [x], {"axis": dim % len(x.shape), "split": sizes}
