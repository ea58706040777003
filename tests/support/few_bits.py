"""An artifact whose ReLUs and max-pools compare few bits."""

from collections.abc import Mapping

from pi_system.artifact import Artifact
from pi_system.artifact.graph import MaxPool2d, Relu
from pi_system.protocols.relu_table import MAX_COMPARED_BITS


def runnable(backend: str, artifact: Artifact) -> Artifact:
    """``artifact`` as the backend takes it: under ``table`` with at most as many bits compared as a table has."""
    ring = artifact.public.ring
    compared = [node for node in artifact.public.graph if isinstance(node, Relu | MaxPool2d)]
    kept = {node.name: ring.comparison_bits[node.name] - ring.shift(node) - ring.unseen_bits(node) for node in compared}
    if backend != "table" or max(kept.values(), default=0) <= MAX_COMPARED_BITS:
        return artifact
    few = {name: MAX_COMPARED_BITS for name, bits in kept.items() if bits > MAX_COMPARED_BITS}
    return with_compare_bits(artifact, ring.compare_bits | few)


def with_compare_bits(artifact: Artifact, bits: int | Mapping[str, int]) -> Artifact:
    """``artifact`` with ``compare_bits``, or with at most ``bits`` of them at every ReLU and max-pool."""
    public = artifact.public
    if isinstance(bits, int):
        compared = [node for node in public.graph if isinstance(node, Relu | MaxPool2d)]
        kept = {node.name: public.ring.comparison_bits[node.name] - public.ring.shift(node) for node in compared}
        bits = {name: bits for name, all_bits in kept.items() if bits < all_bits}
    return Artifact.create(
        name=public.name,
        graph=public.graph,
        ring=public.ring.model_copy(update={"compare_bits": dict(bits)}),
        preprocess=public.preprocess,
        masks=artifact.masks,
        weights=artifact.weights,
    )
