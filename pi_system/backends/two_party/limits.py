"""Which models ``gmw``, ``gc`` and ``table`` run: rings of homomorphic encryption, comparisons within their ReLU's."""

from pi_system.artifact.graph import MaxPool2d, Relu
from pi_system.artifact.model import PublicModel
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.protocols.linear_he.params import ring_refused


def why_not(backend: str, model: PublicModel) -> str:
    """See BackendLimits."""
    ring, reach = model.ring, TWO_PARTY_GATES[backend]["relu"].reach
    if reason := ring_refused(ring.ring_bits):
        return f"{reason}; take a backend with a dealer"
    if not model.graph.weighted:
        return "expected a layer with weights, found none; take the backend fss, or run it at the client"
    compared = (node for node in model.graph if isinstance(node, Relu | MaxPool2d))
    reasons = (reach.why_not(ring.comparison_bits[node.name], ring.compared_bits(node), node.name) for node in compared)
    return next(filter(None, reasons), "")
