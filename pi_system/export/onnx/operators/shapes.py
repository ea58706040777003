"""Operators that move, repeat or leave out: shapes, slices, padding."""

import operator
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators.node import Node, Rule, Value

__all__ = ["RULES"]


def _to_shape(builder: Builder, node: Node, x: Traced, shape: tuple[int, ...]) -> Traced:
    """As ``shape``, whose first size belongs to a batch of one, for any batch."""
    return x if shape == x.shape else builder.call(node.name, torch.reshape, x, (-1, *shape[1:]))


def _reshape(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x, sizes = given[0], node.listed("shape", given, 1) or []
    if not node.integer("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return _to_shape(builder, node, x, tuple(x.example.reshape(sizes).shape))


def _flatten(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x, axis = given[0], node.integer("axis", 1)
    rows = int(np.prod(x.shape[: axis % len(x.shape) if axis < 0 else axis]))
    return _to_shape(builder, node, x, tuple(x.example.reshape(rows, -1).shape))


def _squeeze(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x = given[0]
    axes = node.listed("axes", given, 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(x.shape) if axis and size == 1]
    gone = {axis % len(x.shape) for axis in axes}
    return _to_shape(builder, node, x, tuple(size for axis, size in enumerate(x.shape) if axis not in gone))


def _unsqueeze(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x = given[0]
    axes = node.listed("axes", given, 1) or []
    example = x.example
    for axis in sorted(axis % (len(x.shape) + len(axes)) for axis in axes):
        example = example.unsqueeze(axis)
    return _to_shape(builder, node, x, tuple(example.shape))


def _concat(builder: Builder, node: Node, given: list[Any]) -> Traced:
    held = [torch.from_numpy(np.array(one, np.float32)) if isinstance(one, np.ndarray) else one for one in given]
    constants = {index: one for index, one in enumerate(held) if isinstance(one, Tensor)}
    axis = node.integer("axis", 1)

    def joined(*values: Tensor) -> Tensor:
        parts = iter(values)
        whole = [constants[index].to(values[0]) if index in constants else next(parts) for index in range(len(held))]
        batch = len(values[0])
        return torch.cat([part.expand(batch, *part.shape[1:]) if len(part) == 1 else part for part in whole], axis)

    return builder.call(node.name, joined, *[one for one in held if isinstance(one, Traced)])


def _split(builder: Builder, node: Node, given: list[Any]) -> list[Value]:
    x, axis = given[0], node.integer("axis", 0)
    sizes = node.listed("split", given, 1)
    parts = node.integer("num_outputs", node.outputs)
    parted = builder.call(node.name, torch.split, x, sizes or -(-x.shape[axis] // parts), axis)
    return [
        builder.call(f"{node.name}_{index}", operator.getitem, parted, index) for index in range(len(parted.example))
    ]


def _slice(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x: Traced = given[0]
    starts, ends = node.listed("starts", given, 1) or [], node.listed("ends", given, 2) or []
    axes = node.listed("axes", given, 3) or list(range(len(starts)))
    steps = node.listed("steps", given, 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        first = max(start, -x.shape[axis]) if step < 0 else start  # before the first place: that one
        places = list(range(x.shape[axis]))[first:end:step]
        x = _chosen(builder, node, x, axis % len(x.shape), places)
    return x


def _chosen(builder: Builder, node: Node, x: Traced, axis: int, places: list[int]) -> Traced:
    if places == list(range(x.shape[axis])):
        return x
    if axis == 0:
        raise node.refused("all of the batch, which comes first", f"places {places[:3]} of it")
    return builder.call(node.name, torch.index_select, x, axis, np.array(places, np.int64))


def _gather(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x, axis = given[0], node.integer("axis", 0) % len(given[0].shape)
    indices = node.constant(given[1], "indices")
    places = [int(place) % x.shape[axis] for place in indices.reshape(-1)]
    chosen = _chosen(builder, node, x, axis, places)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return _to_shape(builder, node, chosen, shape)


_MODES: Final = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def _pad(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x: Traced = given[0]
    pads = node.listed("pads", given, 1) or []
    rank, value = len(x.shape), node.number("value", 0.0)
    if len(given) > 2 and given[2] is not None:
        value = float(node.constant(given[2], "value").reshape(()))
    axes = node.listed("axes", given, 3) or list(range(rank))
    by_axis = {axis % rank: (pads[at], pads[len(axes) + at]) for at, axis in enumerate(axes)}
    if any(by_axis.get(0, (0, 0))):
        raise node.refused("no padding of the batch, which comes first", str(by_axis[0]))
    mode = _MODES[node.text("mode", "constant")]
    moved = sorted(axis for axis, pair in by_axis.items() if any(pair))
    if not moved:
        return x
    first = min(moved[0], 2 if mode != "constant" and rank > 2 else rank)
    pairs = [size for axis in reversed(range(first, rank)) for size in by_axis.get(axis, (0, 0))]
    return builder.call(node.name, F.pad, x, pairs, mode, value if mode == "constant" else None)


def _transpose(builder: Builder, node: Node, given: list[Any]) -> Traced:
    x: Traced = given[0]
    order = node.integers("perm", list(reversed(range(len(x.shape)))))
    return x if order == sorted(order) else builder.call(node.name, torch.permute, x, tuple(order))


def _expand(builder: Builder, node: Node, given: list[Any]) -> Traced:
    sizes = node.listed("shape", given, 1) or []
    shape = np.broadcast_shapes(given[0].shape, tuple(sizes))
    if shape[0] != 1:
        raise node.refused("the batch, which comes first, once", str(shape[0]))
    return builder.call(node.name, torch.Tensor.expand, given[0], (-1, *shape[1:]))


def _tile(builder: Builder, node: Node, given: list[Any]) -> Traced:
    repeats = node.listed("repeats", given, 1) or []
    if repeats[0] != 1:
        raise node.refused("the batch, which comes first, once", str(repeats[0]))
    return builder.call(node.name, torch.tile, given[0], tuple(repeats))


def _depth_to_space(builder: Builder, node: Node, given: list[Any]) -> Traced:
    size, first = node.integer("blocksize", 1), node.text("mode", "DCR") == "DCR"

    def moved(x: Tensor) -> Tensor:
        if first:  # channels are (block, block, rest)
            n, c, h, w = x.shape
            x = x.reshape(n, size * size, c // size**2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return F.pixel_shuffle(x, size)

    return builder.call(node.name, moved, given[0])


def _space_to_depth(builder: Builder, node: Node, given: list[Any]) -> Traced:
    size = node.integer("blocksize", 1)

    def moved(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // size, size, w // size, size)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * size**2, h // size, w // size)

    return builder.call(node.name, moved, given[0])


RULES: Final[dict[str, Rule]] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
