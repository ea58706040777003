"""The walk over an exported graph that every interpreter shares.

An interpreter is one meaning of the graph's operations: real numbers, fixed point, counts, shares of one party.
It defines a method an operation; this module calls them in order and frees each value after its last use.
"""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from pi_system.artifact import graph as ops
from pi_system.errors import InvariantError

V = TypeVar("V")


class Interpreter(ABC, Generic[V]):
    """Runs a graph with values of type ``V``; subclasses say what each operation means."""

    def run(self, graph: ops.Graph, value: V) -> V:
        """Evaluate ``graph`` on the input ``value`` and return the value of its last node."""
        last_use = graph.last_use()
        values: dict[str, V] = {}
        for node in graph:
            operands = [values[name] for name in node.inputs]
            values[node.name] = self.input(node, value) if isinstance(node, ops.Input) else self._step(node, operands)
            for name in set(node.inputs):
                if last_use[name] == node.name:
                    del values[name]
        return values[graph.output]

    def _step(self, node: ops.Node, operands: list[V]) -> V:
        match node:
            case ops.Conv2d() | ops.Linear():
                return self.weighted(node, operands[0])
            case ops.Relu():
                return self.relu(node, operands[0])
            case ops.Square():
                return self.square(node, operands[0])
            case ops.Select():
                return self.select(node, operands[0])
            case ops.Add():
                return self.add(node, operands[0], operands[1])
            case ops.Concat():
                return self.concat(node, operands)
            case ops.Flatten():
                return self.flatten(node, operands[0])
            case ops.AvgPool2d():
                return self.avgpool(node, operands[0])
            case ops.MaxPool2d():
                return self.maxpool(node, operands[0])
            case ops.Gather():
                return self.gather(node, operands[0])
            case ops.Affine():
                return self.affine(node, operands[0])
            case ops.Truncate():
                return self.truncate(node, operands[0])
        raise InvariantError(f"node {node.name}: no interpreter step for op {node.op}")

    @abstractmethod
    def input(self, node: ops.Input, value: V) -> V:
        """The value of the input node."""

    @abstractmethod
    def weighted(self, node: ops.WeightedNode, x: V) -> V:
        """Convolution or fully connected layer, bias included."""

    @abstractmethod
    def relu(self, node: ops.Relu, x: V) -> V:
        """ReLU on the active positions, identity elsewhere."""

    @abstractmethod
    def square(self, node: ops.Square, x: V) -> V:
        """x * x / 2^halvings + bias on the active positions, identity elsewhere."""

    @abstractmethod
    def select(self, node: ops.Select, x: V) -> V:
        """Zero but on the active positions."""

    @abstractmethod
    def add(self, node: ops.Add, a: V, b: V) -> V:
        """Sum."""

    @abstractmethod
    def concat(self, node: ops.Concat, xs: list[V]) -> V:
        """Concatenation along channels."""

    @abstractmethod
    def flatten(self, node: ops.Flatten, x: V) -> V:
        """Flatten all axes but the batch's."""

    @abstractmethod
    def avgpool(self, node: ops.AvgPool2d, x: V) -> V:
        """Average over windows, or their sum."""

    @abstractmethod
    def maxpool(self, node: ops.MaxPool2d, x: V) -> V:
        """Maximum over windows."""

    @abstractmethod
    def gather(self, node: ops.Gather, x: V) -> V:
        """Elements at the node's positions, zeros where there is none."""

    @abstractmethod
    def affine(self, node: ops.Affine, x: V) -> V:
        """x or -x, plus a bias a channel."""

    @abstractmethod
    def truncate(self, node: ops.Truncate, x: V) -> V:
        """Drop fraction bits."""
