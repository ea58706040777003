"""Resize and Upsample: one matrix an axis, whose rows say what an element is made of."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators.node import Node, Rule

__all__ = ["RULES"]

Array = NDArray[np.float64]
_ROUNDED: Final[dict[str, Any]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _resize(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x: Traced = given[0]
    rank = len(x.shape)
    old = node.op == "Upsample" or node.version < 11
    scales, sizes = _stated(node, given, old)
    axes = node.integers("axes", list(range(rank)))
    out: dict[int, tuple[int, np.float32]] = {}
    for at, axis in enumerate(axes):
        held = np.float32(x.shape[axis])  # sizes and places are onnxruntime's in float32 alone: 0.7 times 10 is 7
        scale = np.float32(sizes[at]) / held if sizes else np.float32(scales[at])
        out[axis % rank] = (int(sizes[at]) if sizes else int(np.floor(held * scale)), scale)
    for axis, (size, scale) in sorted(out.items()):
        if size != x.shape[axis] or scale != 1:
            if axis == 0:
                raise node.refused("a batch, which comes first, of its own size", str(size))
            x = _along(builder, node, x, axis, _matrix(node, x.shape[axis], size, scale, old))
    return x


def _stated(node: Node, given: list[Any], old: bool) -> tuple[list[float], list[int]]:
    """(scales, sizes), of which one is empty."""
    if "scales" in node.attributes:
        return [float(value) for value in node.attributes["scales"]], []
    position = 1 if old else 2
    stated = given[position] if len(given) > position else None
    if stated is not None and node.constant(stated, "scales").size:
        return [float(value) for value in stated], []
    if len(given) <= 3 or given[3] is None:
        raise node.refused("scales or sizes", "none")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refused("sizes as they are", "a policy for them")
    return [], [int(value) for value in node.constant(given[3], "sizes")]


def _along(builder: Builder, node: Node, x: Traced, axis: int, matrix: Array) -> Traced:
    if ((matrix == 1).sum(1) == 1).all() and ((matrix != 0).sum(1) == 1).all():
        return builder.call(node.name, torch.index_select, x, axis, matrix.argmax(1).astype(np.int64))
    return builder.call(node.name, _product, x, matrix, axis)


def _product(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    return torch.nn.functional.linear(x.transpose(axis, -1), matrix).transpose(axis, -1)


def _matrix(node: Node, size: int, out: int, scale: np.float32, old: bool) -> Array:
    """(out, size)."""
    mode = node.text("mode", "nearest")
    how = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    places = _places(node, how, np.arange(out, dtype=np.float32), size, out, scale).astype(np.float64)
    if mode == "nearest":
        rounded = _ROUNDED["floor" if old else node.text("nearest_mode", "round_prefer_floor")](places)
        return _rows(size, rounded, [0], [np.ones(out)])
    below = np.floor(places)
    part = places - below
    if mode == "linear":
        return _rows(size, below, [0, 1], [1 - part, part])
    if mode == "cubic" and not node.integer("exclude_outside", 0):
        return _rows(size, below, [-1, 0, 1, 2], _cubic(part, node.number("cubic_coeff_a", -0.75)))
    raise node.refused("nearest, linear or cubic", mode)


def _places(node: Node, how: str, x: NDArray[np.float32], size: int, out: int, scale: np.float32) -> NDArray[Any]:
    """Where the elements of the result lie in the operand."""
    if node.integer("antialias", 0):
        raise node.refused("antialias=0", "1")
    match how:
        case "half_pixel":
            return (x + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (x + 0.5) / scale - 0.5 if out > 1 else 0 * x
        case "align_corners":
            return x * (size - 1) / (out - 1) if out > 1 else 0 * x
        case "asymmetric":
            return x / scale
        case "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        case _:
            raise node.refused("half pixels, aligned corners or asymmetric coordinates", how)


def _cubic(part: Array, a: float) -> list[Array]:
    def near(d: Array) -> Array:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1

    def far(d: Array) -> Array:
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    return [far(1 + part), near(part), near(1 - part), far(2 - part)]


def _rows(size: int, first: Array, steps: Sequence[int], shares: Sequence[Array]) -> Array:
    """Rows with ``shares`` at ``first`` plus ``steps``; what lies beyond an edge is the edge's."""
    matrix = np.zeros((len(first), size))
    for step, share in zip(steps, shares, strict=True):
        places = np.clip(first + step, 0, size - 1).astype(np.int64)
        np.add.at(matrix, (np.arange(len(first)), places), share)
    return matrix


RULES: Final[dict[str, Rule]] = dict.fromkeys(["Resize", "Upsample"], _resize)
