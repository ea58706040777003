"""Do a graph and its fixed-point parameters fit together: every node's fraction bits follow from its inputs'."""

from math import prod

from pi_system.artifact import graph as ops
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import ArtifactError


def multiplies(node: ops.Node) -> bool:
    """Whether ``node`` multiplies by constants and so has weight fraction bits.

    An average pool whose window has a power of two of elements only sums: its division is a change of scale.
    """
    if isinstance(node, ops.AvgPool2d):
        return not node.summed and prod(node.kernel).bit_count() != 1
    return isinstance(node, ops.WeightedNode)


def output_frac_bits(node: ops.Node, operands: list[int], weight_frac_bits: int) -> int | None:
    """Fraction bits of ``node``'s output, given its inputs'; None where they are free to choose (see check_ring)."""
    match node:
        case ops.Conv2d() | ops.Linear():
            return operands[0] + weight_frac_bits
        case ops.AvgPool2d():
            area = 1 if node.summed else prod(node.kernel)
            return operands[0] + (weight_frac_bits if multiplies(node) else area.bit_length() - 1)
        case ops.Square():
            return 2 * operands[0] + node.halvings
        case ops.Add() | ops.Concat():
            return max(operands)
        case ops.Input() | ops.Relu() | ops.Truncate():
            return None
        case _:
            return operands[0]


def check_ring(graph: ops.Graph, ring: RingConfig) -> None:
    """Check ``ring`` against ``graph``. Raises ArtifactError, naming the node.

    Every node has fraction bits that follow from its inputs' (``output_frac_bits``); a ReLU or a truncation never
    adds any. Every ReLU and max-pool has comparison bits k, larger than what it truncates and at most ring_bits; those
    of a square leave room for its result, 2k - 1 <= ring_bits. Of the bits that are left, 2 or more are compared. The
    step of scores drops at least one bit of a logit, and leaves two.
    """
    _check_names("frac_bits", [node.name for node in graph], ring.frac_bits)
    _check_names("weight_frac_bits", [n.name for n in graph if multiplies(n)], ring.weight_frac_bits)
    compared = [node.name for node in graph if isinstance(node, ops.Relu | ops.MaxPool2d | ops.Square)]
    _check_names("comparison_bits", compared, ring.comparison_bits)
    for node in graph:
        operands = [ring.frac_bits[name] for name in node.inputs]
        expected = output_frac_bits(node, operands, ring.weight_frac_bits.get(node.name, 0))
        found = ring.frac_bits[node.name]
        if expected is None and operands and found > operands[0]:
            raise ArtifactError(f"node {node.name}: expected at most {operands[0]} fraction bits, found {found}")
        if expected is not None and found != expected:
            raise ArtifactError(f"node {node.name}: expected {expected} fraction bits, found {found}")
        if found >= ring.ring_bits:
            raise ArtifactError(f"node {node.name}: {found} fraction bits do not fit {ring.ring_bits} ring bits")
    for name in compared:
        _check_comparison(graph, ring, name)
    for name, bits in ring.compare_bits.items():
        _check_compare_bits(graph, ring, name, bits)
    if ring.logit_bits >= ring.ring_bits:
        raise ArtifactError(f"logit_bits: expected fewer than {ring.ring_bits}, found {ring.logit_bits}")
    dropped = ring.score_step(graph.output) + ring.frac_bits[graph.output]
    most = max(1, ring.logit_bits - 2)
    if not 1 <= dropped <= most:
        raise ArtifactError(f"score_step_log2: expected a step that drops 1..{most} bits of a logit, found {dropped}")


def _check_comparison(graph: ops.Graph, ring: RingConfig, name: str) -> None:
    node = next(node for node in graph if node.name == name)
    shift, bits = ring.shift(node), ring.comparison_bits[name]
    if isinstance(node, ops.Square):
        if not 2 <= bits <= (ring.ring_bits + 1) // 2:
            raise ArtifactError(
                f"node {name}: expected 2..{(ring.ring_bits + 1) // 2} comparison bits, so that the square of such "
                f"a value fits {ring.ring_bits} ring bits; found {bits}"
            )
        return
    if not shift + 2 <= bits <= ring.ring_bits:
        raise ArtifactError(f"node {name}: expected {shift + 2}..{ring.ring_bits} comparison bits, found {bits}")


def _check_compare_bits(graph: ops.Graph, ring: RingConfig, name: str, bits: int) -> None:
    node = next((node for node in graph if node.name == name), None)
    if not isinstance(node, ops.Relu | ops.MaxPool2d):
        raise ArtifactError(f"compare_bits: expected names of ReLUs and max-pools, found {name:.128}")
    most = ring.comparison_bits[name] - ring.shift(node)
    if not 2 <= bits <= most:
        raise ArtifactError(f"node {name}: expected 2..{most} bits to compare, found {bits}")


def _check_names(what: str, expected: list[str], found: dict[str, int]) -> None:
    differing = sorted(set(expected) ^ set(found))
    if differing:
        raise ArtifactError(f"{what}: expected {len(expected)} entries of the graph, differing: {differing[:3]}")
