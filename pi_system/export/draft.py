"""A network under construction: nodes in order, their tensors and masks, before ring parameters are chosen.

The tracer fills a draft, the rewriting passes change it, ``quantise`` reads it. Tensors are float64 here, so that
folding several layers into one rounds to float32 once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Gather,
    Graph,
    Input,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Select,
    Shape,
    Square,
)
from pi_system.artifact.shapes import infer_shape
from pi_system.export.straight import Pieces

Pair = tuple[int, int]
Array = NDArray[np.float64]


@dataclass
class Draft:
    """Nodes by name in topological order, with ``weights`` [n] and ``biases`` [n] of weighted and biased nodes.

    ``output`` is the node whose value is the network's result, set when the trace ends; ``finals`` its parts, one an
    output of the module: how many elements, and which monotone function the module applies to them ("" for none).
    ``approximated``: nodes of smooth functions, with the largest error of the straight pieces in their place.
    ``pieces``: the operation and its pieces, by the number of its call; none where they are not all of the difference.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    output: str = ""
    finals: list[tuple[int, str]] = field(default_factory=list)
    approximated: list[tuple[str, float]] = field(default_factory=list)
    pieces: dict[int, tuple[str, Pieces]] = field(default_factory=dict)

    def add_node(self, node: Node) -> str:
        """Append ``node`` with its shape inferred from its inputs; returns its name, made new if it is taken."""
        name, copies = node.name, 0
        while name in self.nodes:
            copies += 1
            name = f"{node.name}_{copies}"
        shape = infer_shape(node, [self.nodes[operand].shape for operand in node.inputs])
        self.nodes[name] = node.model_copy(update={"name": name, "shape": shape})
        return name

    def input(self, shape: Shape) -> str:
        """The picture, (C, H, W)."""
        return self.add_node(Input(name="input", inputs=(), shape=shape))

    def conv2d(
        self,
        name: str,
        x: str,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        groups: int = 1,
    ) -> str:
        """Convolution by ``weight`` (out, in / groups, kh, kw)."""
        out, per_group, height, width = weight.shape
        node = Conv2d(
            name=name,
            inputs=(x,),
            shape=(out, 1, 1),
            in_channels=per_group * groups,
            kernel=(height, width),
            stride=stride,
            padding=padding,
            groups=groups,
        )
        return self._add_weighted(node, weight, bias)

    def affine(self, name: str, x: str, scale: Array, shift: Array) -> str:
        """``scale`` * x + ``shift`` per channel: a 1x1 depthwise convolution, or a diagonal linear layer."""
        if len(self.nodes[x].shape) == 1:
            return self.linear(name, x, np.diag(scale), shift)
        return self.conv2d(name, x, scale[:, None, None, None], shift, groups=len(scale))

    def linear(self, name: str, x: str, weight: Array, bias: Array | None = None) -> str:
        """Fully connected layer by ``weight`` (out, in)."""
        out, features = weight.shape
        return self._add_weighted(Linear(name=name, inputs=(x,), shape=(out,), in_features=features), weight, bias)

    def _add_weighted(self, node: Node, weight: Array, bias: Array | None) -> str:
        name = self.add_node(node)
        self.weights[name] = np.asarray(weight, dtype=np.float64)
        self.biases[name] = np.zeros(len(weight)) if bias is None else np.asarray(bias, dtype=np.float64)
        return name

    def relu(self, name: str, x: str, mask: NDArray[np.bool_] | None = None) -> str:
        """ReLU where ``mask`` (C, H, W) holds: nothing at all if nowhere, unmasked if everywhere."""
        shape = self.nodes[x].shape
        if mask is None or mask.all():
            return self.add_node(Relu(name=name, inputs=(x,), shape=shape, active=int(np.prod(shape))))
        if not mask.any():
            return x
        return self._add_masked(Relu(name=name, inputs=(x,), shape=shape, active=int(mask.sum()), masked=True), mask)

    def square(
        self, name: str, x: str, halvings: int = 0, *, mask: NDArray[np.bool_] | None = None, bias: Array | None = None
    ) -> str:
        """x * x / 2^halvings + ``bias`` (C,) where ``mask`` (C, H, W) holds, as ``relu`` has it."""
        shape = self.nodes[x].shape
        if mask is not None and not mask.any():
            return x
        biased = bias is not None and bool(bias.any())
        node = Square(name=name, inputs=(x,), shape=shape, halvings=halvings, biased=biased)
        if mask is None or mask.all():
            added = self.add_node(node)
        else:
            added = self._add_masked(node.model_copy(update={"active": int(mask.sum())}), mask)
        if bias is not None and biased:
            self.biases[added] = bias
        return added

    def select(self, name: str, x: str, mask: NDArray[np.bool_]) -> str:
        """``x`` where ``mask`` (C, H, W), which holds somewhere, does, zero elsewhere."""
        if mask.all():
            return x
        node = Select(name=name, inputs=(x,), shape=self.nodes[x].shape, active=int(mask.sum()))
        return self._add_masked(node, mask)

    def _add_masked(self, node: Relu | Square | Select, mask: NDArray[np.bool_]) -> str:
        added = self.add_node(node)
        self.masks[added] = mask.copy()
        return added

    def add(self, name: str, a: str, b: str) -> str:
        """Sum of two values."""
        return self.add_node(Add(name=name, inputs=(a, b), shape=self.nodes[a].shape))

    def concat(self, name: str, xs: Sequence[str]) -> str:
        """Concatenation along channels."""
        return self.add_node(Concat(name=name, inputs=tuple(xs), shape=self.nodes[xs[0]].shape))

    def flatten(self, name: str, x: str) -> str:
        """(C, H, W) to (C * H * W,); a vector stays as it is."""
        if len(self.nodes[x].shape) == 1:
            return x
        return self.add_node(Flatten(name=name, inputs=(x,), shape=(1,)))

    def avgpool(self, name: str, x: str, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> str:
        """Average over windows; a window of one element is no pooling at all."""
        if kernel == stride == (1, 1):
            return x
        return self.add_node(
            AvgPool2d(
                name=name,
                inputs=(x,),
                shape=self.nodes[x].shape,
                kernel=kernel,
                stride=stride,
                padding=padding,
            )
        )

    def maxpool(self, name: str, x: str, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> str:
        """Maximum over windows."""
        return self.add_node(
            MaxPool2d(
                name=name,
                inputs=(x,),
                shape=self.nodes[x].shape,
                kernel=kernel,
                stride=stride,
                padding=padding,
            )
        )

    def gather(self, name: str, x: str, offsets: Sequence[Sequence[int]]) -> str:
        """Elements of ``x`` at other places; see Gather."""
        axes = tuple(tuple(int(offset) for offset in axis) for axis in offsets)
        return self.add_node(Gather(name=name, inputs=(x,), shape=tuple(map(len, axes)), offsets=axes))

    def signed(self, name: str, x: str, bias: Array | None = None, *, negated: bool = False) -> str:
        """``x`` or -``x``, plus ``bias`` (C,)."""
        biased = bias is not None and bool(bias.any())
        if not biased and not negated:
            return x
        added = self.add_node(Affine(name=name, inputs=(x,), shape=self.nodes[x].shape, negated=negated, biased=biased))
        if bias is not None and biased:
            self.biases[added] = np.asarray(bias, dtype=np.float64)
        return added

    def users(self, name: str) -> list[str]:
        """The nodes that read ``name``, the network's output being one more reader of the last value."""
        readers = [node.name for node in self.nodes.values() for operand in node.inputs if operand == name]
        return readers + ["output"] * (name == self.output)

    def remove(self, name: str) -> None:
        """Drop a node and its tensors."""
        del self.nodes[name]
        for tensors in (self.weights, self.biases, self.masks):
            tensors.pop(name, None)

    def replace(self, old: str, new: str) -> None:
        """Let every reader of ``old`` read ``new`` and drop ``old``."""
        for name, node in self.nodes.items():
            if old in node.inputs:
                inputs = tuple(new if operand == old else operand for operand in node.inputs)
                self.nodes[name] = node.model_copy(update={"inputs": inputs})
        self.output = new if self.output == old else self.output
        self.remove(old)

    def graph(self) -> Graph:
        """The nodes as a graph; the last one is the output."""
        return Graph(nodes=tuple(self.nodes.values()))

    def exact_weights(self) -> dict[str, Array]:
        """``n.weight`` and ``n.bias`` of every weighted node."""
        tensors = {f"{name}.weight": tensor for name, tensor in self.weights.items()}
        tensors |= {f"{name}.bias": tensor for name, tensor in self.biases.items()}
        return tensors

    def float_weights(self) -> dict[str, NDArray[np.float32]]:
        """The same in float32."""
        return {name: tensor.astype(np.float32) for name, tensor in self.exact_weights().items()}
