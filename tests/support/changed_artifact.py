"""Artifacts that differ from another in a part."""

from collections.abc import Mapping
from typing import Any

from pi_system.artifact import Artifact
from pi_system.artifact.graph import MaxPool2d, Relu
from pi_system.protocols.relu_table import MAX_COMPARED_BITS


def changed(artifact: Artifact, **parts: Any) -> Artifact:
    """``artifact`` with other ``parts``, by the names that ``Artifact.create`` has for them."""
    public = artifact.public
    kept = {name: getattr(public, name) for name in ("name", "graph", "ring", "preprocess")}
    return Artifact.create(**(kept | {"masks": artifact.masks, "weights": artifact.weights} | parts))


_RUNNABLE: dict[str, Artifact] = {}


def runnable(backend: str, artifact: Artifact) -> Artifact:
    """``artifact`` as the backend takes it: under ``table`` with at most as many bits compared as a table has."""
    ring = artifact.public.ring
    compared = [node for node in artifact.public.graph if isinstance(node, Relu | MaxPool2d)]
    kept = {node.name: ring.comparison_bits[node.name] - ring.shift(node) - ring.unseen_bits(node) for node in compared}
    if backend != "table" or max(kept.values(), default=0) <= MAX_COMPARED_BITS:
        return artifact
    few = {name: MAX_COMPARED_BITS for name, bits in kept.items() if bits > MAX_COMPARED_BITS}
    digest = artifact.public.digest  # salted: the same artifact becomes the same one, whose stores are found again
    if digest not in _RUNNABLE:
        _RUNNABLE[digest] = with_compare_bits(artifact, ring.compare_bits | few)
    return _RUNNABLE[digest]


def with_compare_bits(artifact: Artifact, bits: int | Mapping[str, int]) -> Artifact:
    """``artifact`` with ``compare_bits``, or with at most ``bits`` of them at every ReLU and max-pool."""
    graph, ring = artifact.public.graph, artifact.public.ring
    if isinstance(bits, int):
        compared = [node for node in graph if isinstance(node, Relu | MaxPool2d)]
        kept = {node.name: ring.comparison_bits[node.name] - ring.shift(node) for node in compared}
        bits = {name: bits for name, all_bits in kept.items() if bits < all_bits}
    return changed(artifact, ring=ring.model_copy(update={"compare_bits": dict(bits)}))
