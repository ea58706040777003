"""Compiles an exported network for SPU: the graph of public.json, written in jax, as an SPU executable.

    python program.py ARTIFACT OUT            the network of an artifact's folder
    python program.py --relu COUNT OUT        COUNT elements of ReLU alone, on the sum of a value of either party

Runs in SPU's own Python environment (setup.sh). Kept out of the parties, so that jax is no part of their memory. The
inputs are ``image``, then the weights in the order of their names, all declared secret; at run time each party holds
its own inputs as its private values (party.py).
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import spu
from jax import lax
from spu.utils import frontend

Node = dict[str, Any]
Values = dict[str, jax.Array]


def conv2d(node: Node, x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
    """Convolution of (N, C, H, W) with (out, in / groups, kh, kw); SPU has none of several groups of its own."""
    padding = [(0, 0), (0, 0), *((pad, pad) for pad in node["padding"])]
    x, groups = jnp.pad(x, padding), node["groups"]
    if groups == weight.shape[0] == x.shape[1]:
        return depthwise(node, x, weight) + bias.reshape(1, -1, 1, 1)
    parts = [
        lax.conv_general_dilated(part, own, node["stride"], "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        for part, own in zip(jnp.split(x, groups, axis=1), jnp.split(weight, groups), strict=True)
    ]
    return (jnp.concatenate(parts, axis=1) if groups > 1 else parts[0]) + bias.reshape(1, -1, 1, 1)


def depthwise(node: Node, x: jax.Array, weight: jax.Array) -> jax.Array:
    """Each channel by its own kernel, as a sum of products of shifted pictures; ``x`` is padded."""
    (rows, columns), (down, right) = node["shape"][1:], node["stride"]
    total = jnp.zeros((), x.dtype)
    for i, j in np.ndindex(*node["kernel"]):
        view = x[:, :, i : i + down * (rows - 1) + 1 : down, j : j + right * (columns - 1) + 1 : right]
        total += view * weight[:, 0, i, j].reshape(1, -1, 1, 1)
    return total


def maxpool2d(node: Node, x: jax.Array) -> jax.Array:
    """Maximum over windows; padding never wins."""
    padding = [(0, 0), (0, 0), *((pad, pad) for pad in node["padding"])]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, *node["kernel"]), (1, 1, *node["stride"]), padding)


def gather(node: Node, x: jax.Array) -> jax.Array:
    """Elements at sums of the axes' offsets into the flat input, zero where one is -1; blocks are plain slices."""
    offsets = [np.array(axis) for axis in node["offsets"]]
    steps = [int(np.prod(x.shape[axis + 1 :])) for axis in range(1, x.ndim)]
    if len(offsets) == x.ndim - 1 and all(map(_is_block, offsets, steps, x.shape[1:])):
        firsts = [int(axis[0]) // step for axis, step in zip(offsets, steps, strict=True)]
        return x[:, *(slice(first, first + len(axis)) for first, axis in zip(firsts, offsets, strict=True))]
    axes = np.ix_(*offsets)
    index, zero = sum(axes), reduce(np.logical_or, (axis < 0 for axis in axes))
    return jnp.where(zero, 0.0, x.reshape(x.shape[0], -1)[:, np.where(zero, 0, index)])


def _is_block(offsets: np.ndarray[Any, Any], step: int, size: int) -> bool:
    first = int(offsets[0])
    inside = first >= 0 and first % step == 0 and first // step + len(offsets) <= size
    return inside and bool((np.diff(offsets) == step).all())


def affine(node: Node, x: jax.Array, weights: Values) -> jax.Array:
    """x or -x, plus a bias a channel."""
    x = -x if node["negated"] else x
    return x + weights[f"{node['name']}.bias"].reshape(1, -1, *(1,) * (x.ndim - 2)) if node["biased"] else x


def avgpool2d(node: Node, x: jax.Array) -> jax.Array:
    """Average over windows, zero padding counted; over all of the picture it is a plain sum."""
    (height, width) = node["kernel"]
    area = 1 if node.get("summed") else height * width
    if x.shape[2:] == (height, width) and not any(node["padding"]):
        return x.sum(axis=(2, 3), keepdims=True) * (1.0 / area)
    padding = [(0, 0), (0, 0), *((pad, pad) for pad in node["padding"])]
    return lax.reduce_window(x, 0.0, lax.add, (1, 1, height, width), (1, 1, *node["stride"]), padding) * (1.0 / area)


def step(node: Node, xs: list[jax.Array], weights: Values) -> jax.Array:
    """One node of the graph. Raises ValueError for what this comparison does not have."""
    match node["op"]:
        case "conv2d":
            return conv2d(node, xs[0], weights[f"{node['name']}.weight"], weights[f"{node['name']}.bias"])
        case "linear":
            return xs[0] @ weights[f"{node['name']}.weight"].T + weights[f"{node['name']}.bias"]
        case "relu" if not node["masked"]:
            return jnp.maximum(xs[0], 0.0)
        case "add":
            return xs[0] + xs[1]
        case "concat":
            return jnp.concatenate(xs, axis=1)
        case "avgpool2d":
            return avgpool2d(node, xs[0])
        case "maxpool2d":
            return maxpool2d(node, xs[0])
        case "gather":
            return gather(node, xs[0])
        case "affine":
            return affine(node, xs[0], weights)
        case "flatten":
            return xs[0].reshape(xs[0].shape[0], -1)
        case "truncate":
            return xs[0]
    raise ValueError(f"node {node['name']}: expected an operation without a pixel mask, found {node['op']}")


def network(nodes: list[Node], names: list[str]) -> Callable[..., jax.Array]:
    """The function of (image, *weights) that the graph is; logits (N, classes)."""

    def forward(image: jax.Array, *tensors: jax.Array) -> jax.Array:
        weights = dict(zip(names, tensors, strict=True))
        values = {nodes[0]["name"]: image}
        for node in nodes[1:]:
            values[node["name"]] = step(node, [values[name] for name in node["inputs"]], weights)
        return values[nodes[-1]["name"]]

    return forward


def relu_of_sum(image: jax.Array, other: jax.Array) -> jax.Array:
    """ReLU of a value that neither party knows."""
    return jnp.maximum(image + other, 0.0)


def compile_to(out: Path, function: Callable[..., jax.Array], inputs: dict[str, tuple[int, ...]]) -> None:
    """Write the executable of ``function`` on float32 inputs of these shapes, and beside it the shapes as JSON."""
    arguments = [np.zeros(shape, np.float32) for shape in inputs.values()]
    visibility = [spu.Visibility.VIS_SECRET] * len(arguments)
    executable, _ = frontend.compile(
        frontend.Kind.JAX, function, arguments, {}, list(inputs), visibility, lambda found: ["output"]
    )
    out.write_bytes(executable.SerializeToString())
    out.with_suffix(".json").write_text(json.dumps(inputs))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", nargs="?", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--relu", type=int)
    options = parser.parse_args()
    if options.relu:
        compile_to(options.out, relu_of_sum, {"image": (options.relu,), "other": (options.relu,)})
        return
    if options.artifact is None:
        sys.exit("expected an artifact's folder or --relu COUNT")
    nodes = json.loads((options.artifact / "public.json").read_text())["public"]["graph"]["nodes"]
    weights = safetensors.numpy.load_file(options.artifact / "weights.safetensors")
    names = sorted(weights)
    shapes = {name: weights[name].shape for name in names}
    compile_to(options.out, network(nodes, names), {"image": (1, *nodes[0]["shape"]), **shapes})


if __name__ == "__main__":
    main()
