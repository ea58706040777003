"""Exact counts of an exported graph for one picture: ReLUs, squares, multiply-accumulates, parameters. Torch-free."""

from dataclasses import dataclass
from math import prod

from pi_system.artifact.graph import Affine, Graph, Node, Relu, Square, WeightedNode


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCount:
    """Counts of one node.

    Attributes:
        name: of the node.
        op: its operation.
        shape: of its output, without the batch.
        relus: active ReLU positions.
        squares: positions that are squared.
        macs: multiply-accumulates of a convolution or linear layer, zero padding counted.
        parameters: weights and biases.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    relus: int
    squares: int
    macs: int
    parameters: int


def count_nodes(graph: Graph) -> list[NodeCount]:
    """One row a node, in execution order."""
    return [_count(node) for node in graph]


def _count(node: Node) -> NodeCount:
    taps = prod(node.weight_shape[1:]) if isinstance(node, WeightedNode) else 0
    return NodeCount(
        name=node.name,
        op=node.op,
        shape=node.shape,
        relus=node.active if isinstance(node, Relu) else 0,
        squares=node.count if isinstance(node, Square) else 0,
        macs=prod(node.shape) * taps,
        parameters=node.shape[0] * (taps + 1) if taps else node.shape[0] * _biased(node),
    )


def _biased(node: Node) -> bool:
    return isinstance(node, Square | Affine) and node.biased


def relu_count(graph: Graph) -> int:
    """Active ReLU positions."""
    return sum(node.active for node in graph.relus())


def relu_layers(graph: Graph) -> int:
    """ReLU layers with an active position: the secure run's round trips, beside those of ``square_layers``."""
    return sum(node.active > 0 for node in graph.relus())


def square_count(graph: Graph) -> int:
    """Positions of square activations."""
    return sum(node.count for node in graph.squares())


def square_layers(graph: Graph) -> int:
    """Layers of square activations."""
    return len(graph.squares())


def mac_count(graph: Graph) -> int:
    """Multiply-accumulates of convolutions and linear layers."""
    return sum(count.macs for count in count_nodes(graph))


def parameter_count(graph: Graph) -> int:
    """Weights and biases (batch normalisation is folded into them)."""
    return sum(count.parameters for count in count_nodes(graph))
