"""Shapes of an exported graph: inference of a node's output shape, and the check of a whole graph.

A graph may come from a peer, so nothing of it is believed before ``check_graph`` has passed.
"""

from math import prod

from pi_system.artifact import graph as ops
from pi_system.errors import ArtifactError

# A cap on every value's size: 64 M elements. Upside: a hostile graph cannot make a party allocate without
# bound; downside: pictures above roughly 1000 x 1000 with 64 channels are refused.
_MAX_ELEMENTS = 1 << 26
# The same for one weight tensor: the largest of the published few-ReLU networks has 13 M elements.
_MAX_WEIGHT_ELEMENTS = 1 << 28


def window_shape(
    shape: ops.Shape, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """(H, W) after sliding a window over a value of ``shape`` (C, H, W)."""
    if min(stride) < 1 or min(kernel) < 1:
        raise ArtifactError(f"expected kernel and stride of at least 1, found {kernel} and {stride}")
    padded = shape[0] * prod(size + 2 * pad for size, pad in zip(shape[1:], padding, strict=True))
    if padded > _MAX_ELEMENTS:
        raise ArtifactError(f"expected at most {_MAX_ELEMENTS} elements with padding, found {padded}")
    height, width = (
        (size + 2 * pad - window) // step + 1
        for size, window, step, pad in zip(shape[1:], kernel, stride, padding, strict=True)
    )
    return height, width


def infer_shape(node: ops.Node, operands: list[ops.Shape]) -> ops.Shape:
    """Output shape of ``node`` for inputs of these shapes; ArtifactError if they do not fit it."""
    match node:
        case ops.Conv2d():
            return _conv_shape(node, operands[0])
        case ops.Linear():
            if operands[0] != (node.in_features,):
                raise _mismatch(node, (node.in_features,), operands[0])
            return (node.shape[0],)
        case ops.AvgPool2d() | ops.MaxPool2d():
            if len(operands[0]) != 3 or any(2 * p > k for p, k in zip(node.padding, node.kernel, strict=True)):
                raise ArtifactError(f"node {node.name}: expected (C, H, W) and padding of at most half a window")
            window = window_shape(operands[0], node.kernel, node.stride, node.padding)
            return (operands[0][0], *window)
        case ops.Add():
            if operands[0] != operands[1]:
                raise _mismatch(node, operands[0], operands[1])
            return operands[0]
        case ops.Concat():
            if any(shape[1:] != operands[0][1:] for shape in operands):
                raise _mismatch(node, operands[0], operands[-1])
            return (sum(shape[0] for shape in operands), *operands[0][1:])
        case ops.Flatten():
            return (prod(operands[0]),)
        case ops.Gather():
            return _gather_shape(node, operands[0])
        case _:
            return operands[0] if operands else node.shape


def _conv_shape(node: ops.Conv2d, operand: ops.Shape) -> ops.Shape:
    if len(operand) != 3 or operand[0] != node.in_channels:
        raise _mismatch(node, (node.in_channels, 0, 0), operand)
    channels = node.shape[0]
    if node.in_channels % node.groups or channels % node.groups:
        raise ArtifactError(f"node {node.name}: expected channels divisible by groups {node.groups}")
    return (channels, *window_shape(operand, node.kernel, node.stride, node.padding))


def _gather_shape(node: ops.Gather, operand: ops.Shape) -> ops.Shape:
    if not node.offsets or not all(node.offsets):
        raise ArtifactError(f"node {node.name}: expected positions for every axis")
    last = sum(max(axis) for axis in node.offsets)
    if last >= prod(operand):
        raise ArtifactError(f"node {node.name}: expected positions below {prod(operand)}, found {last}")
    return tuple(len(axis) for axis in node.offsets)


def _mismatch(node: ops.Node, expected: ops.Shape, found: ops.Shape) -> ArtifactError:
    return ArtifactError(f"node {node.name}: expected an input of shape {expected}, found {found}")


def weight_shapes(graph: ops.Graph) -> dict[str, ops.Shape]:
    """Shape of every weight tensor by its name; see ``Weights``."""
    shapes: dict[str, ops.Shape] = {}
    for node in graph.weighted:
        shapes[f"{node.name}.weight"] = node.weight_shape
        shapes[f"{node.name}.bias"] = (node.shape[0],)
    return shapes | {f"{node.name}.bias": (node.shape[0],) for node in graph.biased()}


def check_graph(graph: ops.Graph) -> None:
    """Check every node's shape against its inputs, and its active positions. Raises ArtifactError, naming the node."""
    shapes: dict[str, ops.Shape] = {}
    for node in graph:
        if len(node.shape) not in (1, 3) or prod(node.shape) > _MAX_ELEMENTS:
            raise ArtifactError(
                f"node {node.name}: expected 1 or 3 axes and at most {_MAX_ELEMENTS} elements, found {node.shape}"
            )
        expected = infer_shape(node, [shapes[name] for name in node.inputs])
        if node.shape != expected:
            raise ArtifactError(f"node {node.name}: expected shape {expected}, found {node.shape}")
        if isinstance(node, ops.Relu | ops.Square | ops.Select):
            _check_active(node)
        if isinstance(node, ops.WeightedNode) and prod(node.weight_shape) > _MAX_WEIGHT_ELEMENTS:
            raise ArtifactError(f"node {node.name}: expected at most {_MAX_WEIGHT_ELEMENTS} weights")
        shapes[node.name] = node.shape


def _check_active(node: ops.Relu | ops.Square | ops.Select) -> None:
    size, active = prod(node.shape), node.count if isinstance(node, ops.Square) else node.active
    if active > size or (isinstance(node, ops.Relu) and not node.masked and active != size):
        raise ArtifactError(f"node {node.name}: expected {size} active positions, found {active}")
