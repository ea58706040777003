"""torch.fx trace of a module to a draft: every supported layer by one rule, anything else refused by name."""

import copy
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from pi_system.artifact.graph import Shape
from pi_system.errors import ArtifactError, UnsupportedLayerError
from pi_system.export.draft import Draft
from pi_system.export.layers import LAYERS, Refused, global_average
from pi_system.train.relu import ReluTracer


class _Ref(NamedTuple):
    """A traced value that is a node of the draft (anything else in the trace is a size: an int or a tuple)."""

    name: str


def trace(module: nn.Module, input_shape: Shape) -> Draft:
    """The draft of ``module`` in evaluation mode for pictures (C, H, W).

    Raises:
        UnsupportedLayerError: naming the layer and what of it is not supported.
    """
    module = copy.deepcopy(module).cpu().eval()
    try:
        traced = ReluTracer().trace_module(module)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UnsupportedLayerError(f"{type(module).__name__}: cannot be traced: {reason}") from error
    reader = _Reader(Draft(), dict(traced.named_modules()), {})
    for node in traced.graph.nodes:
        reader.read(node, input_shape)
    return reader.draft


@dataclass
class _Reader:
    draft: Draft
    modules: dict[str, nn.Module]
    values: dict[fx.Node, Any]

    def read(self, node: fx.Node, input_shape: Shape) -> None:
        """Add what ``node`` does to the draft."""
        try:
            self.values[node] = self._read(node, input_shape)
            if self._is_in_place(node):
                self._overwrite(node)
        except Refused as error:
            raise UnsupportedLayerError(f"layer {_where(node)}: {error}") from error
        except ArtifactError as error:
            raise UnsupportedLayerError(f"layer {_where(node)}, {_what(node)}: {error}") from error

    def _read(self, node: fx.Node, input_shape: Shape) -> Any:
        if node.op == "placeholder":
            if "input" in self.draft.nodes:
                raise Refused("expected a network with one input, found a second")
            return _Ref(self.draft.input(input_shape))
        args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), lambda arg: self.values[arg])
        if node.op == "output":
            return self._output(args[0])
        if node.op == "call_module":
            return self._module(node, self.modules[str(node.target)], args[0])
        if node.op not in ("call_function", "call_method"):
            raise Refused(f"expected a supported layer, found {node.op} {node.target}")
        if not _has_ref(args) and not _has_ref(kwargs) and callable(node.target):
            return node.target(*args, **kwargs)  # arithmetic on sizes
        rule = _FUNCTIONS.get(node.target)
        if rule is None:
            raise Refused(f"expected a supported operation, found {_what(node)}")
        try:
            return rule(self, node.name, *args, **kwargs)
        except TypeError as error:
            raise Refused(f"{_what(node)}: arguments not supported") from error

    def _is_in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        return node.target in _IN_PLACE or bool(node.kwargs.get("inplace", False))

    def _overwrite(self, node: fx.Node) -> None:
        """An operation in place: whoever reads its operand from here on reads the result."""
        operand = self.values[node.all_input_nodes[0]]
        for key, value in self.values.items():
            if isinstance(value, _Ref) and value == operand:
                self.values[key] = self.values[node]

    def _output(self, value: object) -> None:
        if not isinstance(value, _Ref):
            raise Refused("expected one tensor as the network's output")
        shape = self.shape(value)
        if len(shape) != 1:
            raise Refused(f"expected logits (classes,) as the network's output, found shape {shape}")
        self.draft.output = value.name

    def _module(self, node: fx.Node, module: nn.Module, x: object) -> _Ref:
        return self.layer(str(node.target), module, x)

    def layer(self, name: str, module: nn.Module, x: object) -> _Ref:
        """Apply a layer given as a module."""
        rule = LAYERS.get(type(module))
        if rule is None or not isinstance(x, _Ref):
            raise Refused(f"expected a supported layer, found {type(module).__name__}")
        return _Ref(rule(self.draft, name[-120:], module, x.name))

    def shape(self, x: _Ref) -> Shape:
        """Shape of a value without the batch axis."""
        return self.draft.nodes[x.name].shape


def _has_ref(value: object) -> bool:
    if isinstance(value, _Ref):
        return True
    if isinstance(value, dict):
        return any(_has_ref(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_has_ref(item) for item in value)


def _where(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    path = list(stack)[-1] if stack else ""
    return f"{path}.{node.name}" if path else node.name


def _what(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))


def _add(reader: _Reader, name: str, a: object, b: object) -> _Ref:
    if not (isinstance(a, _Ref) and isinstance(b, _Ref)):
        raise Refused("expected a sum of two values of the network, found a constant")
    return _Ref(reader.draft.add(name, a.name, b.name))


def _cat(reader: _Reader, name: str, tensors: Any, dim: int = 0) -> _Ref:
    if not isinstance(tensors, list | tuple) or not all(isinstance(item, _Ref) for item in tensors):
        raise Refused("expected concatenation of values of the network")
    if dim not in (1, -len(reader.shape(tensors[0]))):
        raise Refused(f"expected concatenation along channels, found axis {dim}")
    return _Ref(reader.draft.concat(name, [item.name for item in tensors]))


def _flatten(reader: _Reader, name: str, x: _Ref, start_dim: int = 0, end_dim: int = -1) -> _Ref:
    return reader.layer(name, nn.Flatten(start_dim, end_dim), x)


def _view(reader: _Reader, name: str, x: _Ref, *shape: Any) -> _Ref:
    # Sizes are concrete for a batch of one, so every way to write "flatten" ends as (1, all the rest).
    sizes = list(shape[0]) if len(shape) == 1 and isinstance(shape[0], list | tuple) else list(shape)
    elements = math.prod(reader.shape(x))
    if sizes in ([1, -1], [1, elements], [-1, elements]):
        return _Ref(reader.draft.flatten(name, x.name))
    if sizes[1:] == list(reader.shape(x)) and sizes[0] in (1, -1):
        return x
    raise Refused(f"expected a reshape that flattens (N, C, H, W) to (N, C * H * W), found {sizes}")


def _size(reader: _Reader, name: str, x: _Ref, dim: int | None = None) -> Any:
    sizes = (1, *reader.shape(x))
    return sizes if dim is None else sizes[dim]


def _getattr(reader: _Reader, name: str, x: _Ref, attribute: str) -> Any:
    if attribute != "shape":
        raise Refused(f"expected a supported operation, found attribute {attribute}")
    return _size(reader, name, x)


def _mean(reader: _Reader, name: str, x: _Ref, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> _Ref:
    axes = sorted(axis % 4 for axis in dim) if isinstance(dim, list | tuple) else None
    if axes != [2, 3] or dtype is not None or len(reader.shape(x)) != 3:
        raise Refused("expected a mean over height and width of (N, C, H, W)")
    pooled = global_average(reader.draft, name, x.name)
    return _Ref(pooled if keepdim else reader.draft.flatten(f"{name}_flatten", pooled))


def _relu(reader: _Reader, name: str, x: _Ref, inplace: bool = False) -> _Ref:
    return reader.layer(name, nn.ReLU(), x)


def _dropout(reader: _Reader, name: str, x: _Ref, p: float = 0.5, training: bool = True, **_: object) -> _Ref:
    if training:
        raise Refused("expected dropout to be off in evaluation mode")
    return x


def _pool(module: Callable[..., nn.Module]) -> "_Rule":
    def rule(reader: _Reader, name: str, x: _Ref, *args: Any, **kwargs: Any) -> _Ref:
        return reader.layer(name, module(*args, **kwargs), x)

    return rule


def _max_pool(reader: _Reader, name: str, x: _Ref, kernel_size: Any, stride: Any = None, *rest: Any, **kw: Any) -> _Ref:
    names = ("padding", "dilation", "ceil_mode", "return_indices")
    return reader.layer(name, nn.MaxPool2d(kernel_size, stride, **dict(zip(names, rest, strict=False)), **kw), x)


def _same(reader: _Reader, name: str, x: _Ref, *_: object) -> _Ref:
    return x


_Rule = Callable[..., Any]

_FUNCTIONS: dict[Any, _Rule] = {
    **dict.fromkeys([operator.add, operator.iadd, torch.add, "add", "add_"], _add),
    **dict.fromkeys([torch.cat, torch.concat, torch.concatenate], _cat),
    **dict.fromkeys([torch.flatten, "flatten"], _flatten),
    **dict.fromkeys(["view", "reshape", torch.reshape], _view),
    **dict.fromkeys([torch.relu, torch.relu_, F.relu, F.relu_, "relu", "relu_"], _relu),
    **dict.fromkeys([torch.mean, "mean"], _mean),
    **dict.fromkeys([F.dropout, F.dropout2d], _dropout),
    **dict.fromkeys([F.max_pool2d, torch.max_pool2d], _max_pool),
    F.avg_pool2d: _pool(nn.AvgPool2d),
    F.adaptive_avg_pool2d: _pool(nn.AdaptiveAvgPool2d),
    "contiguous": _same,
    "size": _size,
    getattr: _getattr,
}

_IN_PLACE = {operator.iadd, "add_", torch.relu_, F.relu_, "relu_"}
