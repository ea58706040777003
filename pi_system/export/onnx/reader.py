"""An ONNX file to a torch module that export can trace.

Every node whose inputs are constants is folded by onnx's reference implementation; of the others each becomes a torch
layer by the rules of ``operators.py``. One input of a batch of one is carried along, so every shape is known, and what
an operator refuses is refused where it is. Only the default operator set is read; functions of the file are inlined.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.numpy_helper
import onnx.reference
from numpy.typing import NDArray
from torch import nn

from pi_system.errors import InputError, PiError, UnsupportedLayerError
from pi_system.export.intake import one_line
from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators import OPERATORS, Node

__all__ = ["read_onnx"]

_DEFAULT_DOMAINS = ("", "ai.onnx")
_OLDEST, _NEWEST = 7, 26


def read_onnx(path: Path, shape: Sequence[int] | None = None) -> nn.Module:
    """The network in an ONNX file, as a float32 module in evaluation mode.

    Args:
        path: the file; weights may lie beside it.
        shape: of one input, (C, H, W) or (features,), where the file leaves sizes open.

    Raises:
        InputError: it cannot be read, or is no network with one input.
        UnsupportedLayerError: naming an operator that is not read.
    """
    model = _load(path)
    try:
        return _build(model, shape)
    except PiError as error:
        raise type(error)(f"{path.name}: {error}") from error
    except Exception as error:  # what torch and onnx raise where shapes do not fit
        raise UnsupportedLayerError(f"{path.name}: cannot be read: {one_line(error)}") from error


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: expected an ONNX file, found no such file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # protobuf's, the checker's and the file system's
        raise InputError(f"{path}: expected an ONNX file: {one_line(error)}") from error


def _build(model: Any, shape: Sequence[int] | None) -> nn.Module:
    graph = model.graph
    versions = {entry.domain: entry.version for entry in model.opset_import}
    version = next((versions[domain] for domain in _DEFAULT_DOMAINS if domain in versions), 0)
    if not _OLDEST <= version <= _NEWEST:
        raise InputError(f"operator set: expected {_OLDEST} to {_NEWEST}, found {version}")
    values: dict[str, Traced | NDArray[Any] | None] = {"": None}
    values |= {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in values]
    if len(inputs) != 1 or not graph.output:
        raise InputError(f"expected a network with one input and an output, found {len(inputs)}, {len(graph.output)}")
    builder = Builder()
    values[inputs[0].name] = builder.input(_sizes(inputs[0], shape))
    for index, entry in enumerate(graph.node):
        node = Node.of(entry, index, version)
        try:
            _read(builder, node, entry, values)
        except PiError:
            raise
        except Exception as error:  # of torch, where shapes do not fit
            raise UnsupportedLayerError(f"node {node.name}, {node.op}: {one_line(error)}") from error
    outputs = [_output(entry.name, values) for entry in graph.output]
    return builder.finish(outputs if len(outputs) > 1 else outputs[0])


def _output(name: str, values: dict[str, Traced | NDArray[Any] | None]) -> Traced:
    value = values.get(name)
    if not isinstance(value, Traced):
        raise InputError(f"output {name}: expected one that depends on the input")
    if value.shape[:1] != (1,):
        raise UnsupportedLayerError(f"output {name}: expected the batch as first axis, found shape {value.shape}")
    return value


def _sizes(entry: Any, shape: Sequence[int] | None) -> tuple[int, ...]:
    """Sizes of a batch of one; open ones are ``shape``'s."""
    dims = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    known = tuple(dim or "?" for dim in dims)
    if shape is not None and len(shape) + 1 == len(dims):
        if any(found not in (0, wanted) for found, wanted in zip(dims[1:], shape, strict=True)):
            raise InputError(f"input {entry.name}: expected inputs of shape {known[1:]}, found {tuple(shape)}")
        dims[1:] = shape
    if len(dims) < 2 or min(dims[1:]) < 1:
        raise InputError(f"input {entry.name}: expected known sizes behind the batch, found {known}: give --size")
    return (1, *dims[1:])


def _read(builder: Builder, node: Node, entry: Any, values: dict[str, Traced | NDArray[Any] | None]) -> None:
    given = [values[name] for name in entry.input]
    if entry.domain not in _DEFAULT_DOMAINS:
        raise UnsupportedLayerError(f"node {node.name}: expected an operator of ONNX, found {entry.domain}.{node.op}")
    if node.op == "Shape" and isinstance(given[0], Traced):
        start, end = node.integer("start", 0), node.attributes.get("end")
        values[entry.output[0]] = np.array(given[0].shape[start:end], np.int64)
        return
    if not any(isinstance(value, Traced) for value in given):
        results: list[Any] = _folded(node, entry, [value for value in given if isinstance(value, np.ndarray)])
    else:
        rule = OPERATORS.get(node.op)
        if rule is None:
            raise UnsupportedLayerError(f"node {node.name}: expected an operator that export has, found {node.op}")
        found = rule(builder, node, given)
        results = found if isinstance(found, list) else [found]
    values |= dict(zip(entry.output, results, strict=False))


def _folded(node: Node, entry: Any, given: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """What a node without the network's input gives."""
    if node.op in ("Squeeze", "Unsqueeze") and "axes" in node.attributes:  # the evaluator has newer forms alone
        change = np.squeeze if node.op == "Squeeze" else np.expand_dims
        return [change(given[0], tuple(node.integers("axes", [])))]
    names = [name for name in entry.input if name]
    evaluator: Any = onnx.reference.ReferenceEvaluator(entry, opsets={"": node.version})
    return [np.asarray(value) for value in evaluator.run(None, dict(zip(names, given, strict=True)))]
