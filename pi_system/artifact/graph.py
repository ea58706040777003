"""The exported graph: one network, written once, run by every interpreter (plaintext, counting, secure).

A graph is a list of nodes in topological order. Shapes are those of one picture: (C, H, W), or (N,) after
flatten; every interpreter adds the batch axis in front. Weights are not in the graph: a weighted node ``n``
owns the tensors ``n.weight`` and ``n.bias`` of the artifact's weight file, and a node that treats its positions
differently (``Graph.masked``) owns the boolean tensor ``n`` of its ReLU map.

Format version 2 added squares at some positions or with a bias, and ``Select``; version 3 ``Gather``, ``Affine`` and
sums in the place of averages. A graph without them is written as before.
"""

from collections.abc import Iterator
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

Shape = tuple[int, ...]
Pair = tuple[Annotated[int, Field(ge=0, le=4096)], Annotated[int, Field(ge=0, le=4096)]]
Size = Annotated[int, Field(ge=1, le=1 << 24)]
Offset = Annotated[int, Field(ge=-1, le=1 << 26)]


class _NodeBase(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,128}$")]
    inputs: tuple[str, ...]
    shape: tuple[Size, ...]
    """Output shape for one picture."""


class Input(_NodeBase):
    """The picture after preprocessing, (C, H, W)."""

    op: Literal["input"] = "input"


class _Windowed(_NodeBase):
    kernel: Pair
    stride: Pair
    padding: Pair


class Conv2d(_Windowed):
    """Convolution with folded batch normalisation: weight (out, in / groups, kh, kw), bias (out,)."""

    op: Literal["conv2d"] = "conv2d"
    in_channels: Size
    groups: Size = 1

    @property
    def weight_shape(self) -> Shape:
        """(out, in / groups, kh, kw)."""
        return self.shape[0], self.in_channels // self.groups, *self.kernel


class Linear(_NodeBase):
    """Fully connected layer: weight (out, in), bias (out,)."""

    op: Literal["linear"] = "linear"
    in_features: Size

    @property
    def weight_shape(self) -> Shape:
        """(out, in)."""
        return self.shape[0], self.in_features


class Relu(_NodeBase):
    """ReLU on ``active`` positions, identity on the others; ``masked`` says that the ReLU map has a mask."""

    op: Literal["relu"] = "relu"
    active: Size
    masked: bool = False


class Square(_NodeBase):
    """x * x / 2^halvings + bias where it is active, identity elsewhere; the division is a change of scale and free.

    ``active`` counts the positions of the ReLU map's mask; None: every position, without a mask. ``biased`` says that
    the node owns ``n.bias``, one value a channel, the server's secret.
    """

    op: Literal["square"] = "square"
    halvings: Annotated[int, Field(ge=0, le=16)] = 0
    active: Size | None = None
    biased: bool = False

    @property
    def count(self) -> int:
        """Positions that are squared."""
        return prod(self.shape) if self.active is None else self.active

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A square of version 1 keeps the JSON it had."""
        content: dict[str, Any] = handler(self)
        if self.active is None:
            del content["active"]
        if not self.biased:
            del content["biased"]
        return content


class Select(_NodeBase):
    """x at the ``active`` positions of the ReLU map's mask, zero elsewhere."""

    op: Literal["select"] = "select"
    active: Size


class Add(_NodeBase):
    """Sum of two values of one shape."""

    op: Literal["add"] = "add"


class Concat(_NodeBase):
    """Concatenation along the channel axis."""

    op: Literal["concat"] = "concat"


class Flatten(_NodeBase):
    """(C, H, W) to (C * H * W,)."""

    op: Literal["flatten"] = "flatten"


class AvgPool2d(_Windowed):
    """Average over windows, zero padding counted (global pooling has kernel = the input's size).

    ``summed``: the sum instead, where whoever reads it has the division in its weights.
    """

    op: Literal["avgpool2d"] = "avgpool2d"
    summed: bool = False

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An average keeps the JSON it had in version 1."""
        content: dict[str, Any] = handler(self)
        if not self.summed:
            del content["summed"]
        return content


class MaxPool2d(_Windowed):
    """Maximum over windows; padding never wins."""

    op: Literal["maxpool2d"] = "maxpool2d"


class Truncate(_NodeBase):
    """Drop fraction bits at a place without ReLU: identity on real numbers, rounding to a neighbour in the ring."""

    op: Literal["truncate"] = "truncate"


class Gather(_NodeBase):
    """Positions of the input in another order, repeated or left out, zeros between them: every change of place.

    Element (i, j, ...) of the output is element offsets[0][i] + offsets[1][j] + ... of the flat input, and zero where
    one of these is -1.
    """

    op: Literal["gather"] = "gather"
    offsets: tuple[tuple[Offset, ...], ...]

    def indices(self) -> NDArray[np.int64]:
        """The flat input position of every element of the output, -1 for a zero."""
        axes = np.ix_(*(np.asarray(axis, np.int64) for axis in self.offsets))
        index, zero = axes[0], axes[0] < 0
        for axis in axes[1:]:
            index, zero = index + axis, zero | (axis < 0)
        return np.where(zero, -1, index)


class Affine(_NodeBase):
    """x, or -x if ``negated``, plus ``n.bias``, one value a channel and the server's secret, if ``biased``."""

    op: Literal["affine"] = "affine"
    negated: bool = False
    biased: bool = False


Node = Annotated[
    Input
    | Conv2d
    | Linear
    | Relu
    | Square
    | Select
    | Add
    | Concat
    | Flatten
    | AvgPool2d
    | MaxPool2d
    | Gather
    | Affine
    | Truncate,
    Field(discriminator="op"),
]

WeightedNode = Conv2d | Linear
PoolNode = AvgPool2d | MaxPool2d

_ARITY = {"input": 0, "add": 2}


class Graph(BaseModel):
    """A network in topological order; the last node is the output (logits, shape (classes,))."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: Annotated[tuple[Node, ...], Field(max_length=4096)]

    @model_validator(mode="after")
    def _check(self) -> "Graph":
        seen: set[str] = set()
        if not self.nodes or self.nodes[0].op != "input":
            raise ValueError("nodes: expected the input node first")
        for node in self.nodes:
            if node.name in seen:
                raise ValueError(f"node {node.name}: expected a new name, found a second node of that name")
            missing = [name for name in node.inputs if name not in seen]
            if missing:
                raise ValueError(f"node {node.name}: expected inputs defined before it, found {missing[0]}")
            arity = _ARITY.get(node.op, 1)
            if len(node.inputs) != arity and not (node.op == "concat" and len(node.inputs) >= 1):
                raise ValueError(f"node {node.name}: expected {arity} inputs, found {len(node.inputs)}")
            seen.add(node.name)
        if sum(node.op == "input" for node in self.nodes) != 1:
            raise ValueError("nodes: expected one input node")
        return self

    def __iter__(self) -> Iterator[Node]:  # type: ignore[override]
        """The nodes in execution order."""
        return iter(self.nodes)

    @property
    def input(self) -> Input:
        """The input node."""
        first = self.nodes[0]
        if not isinstance(first, Input):
            raise ValueError("nodes: expected the input node first")
        return first

    @property
    def output(self) -> str:
        """Name of the node whose value is the network's result."""
        return self.nodes[-1].name

    def relus(self) -> list[Relu]:
        """The ReLU nodes in execution order."""
        return [node for node in self.nodes if isinstance(node, Relu)]

    @property
    def weighted(self) -> list[WeightedNode]:
        """The nodes with weights, in execution order."""
        return [node for node in self.nodes if isinstance(node, WeightedNode)]

    def squares(self) -> list[Square]:
        """The square activations in execution order."""
        return [node for node in self.nodes if isinstance(node, Square)]

    def biased(self) -> list[Square | Affine]:
        """The nodes besides the weighted that own a bias, in execution order."""
        return [node for node in self.nodes if isinstance(node, Square | Affine) and node.biased]

    def masked(self) -> dict[str, Relu | Square | Select]:
        """The nodes that own a mask of the ReLU map, by name."""
        found: dict[str, Relu | Square | Select] = {}
        for node in self.nodes:
            if (
                isinstance(node, Select)
                or (isinstance(node, Relu) and node.masked)
                or (isinstance(node, Square) and node.active is not None)
            ):
                found[node.name] = node
        return found

    @property
    def format_version(self) -> int:
        """The oldest artifact format that can say this graph."""
        return max(_format_version(node) for node in self.nodes)

    def last_use(self) -> dict[str, str]:
        """For each value the last node that reads it, so that an interpreter can free it there."""
        return {name: node.name for node in self.nodes for name in node.inputs}


def _format_version(node: Node) -> int:
    if isinstance(node, Gather | Affine) or (isinstance(node, AvgPool2d) and node.summed):
        return 3
    if isinstance(node, Select) or (isinstance(node, Square) and (node.biased or node.active is not None)):
        return 2
    return 1
