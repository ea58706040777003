"""Declared cost: bytes of every message and rounds, from public shapes alone; tests compare them with a channel's."""

from dataclasses import dataclass

from pi_system.protocols.linear_he.plan import AHEAD, LinearPlan


@dataclass(frozen=True, slots=True)
class BundleCost:
    """One bundle of layers.

    Attributes:
        names: of its layers.
        up_ciphertexts: client to server.
        down_ciphertexts: server to client.
        up_bytes: the request.
        down_bytes: all answers.
        products: ciphertext times weight polynomial.
    """

    names: tuple[str, ...]
    up_ciphertexts: int
    down_ciphertexts: int
    up_bytes: int
    down_bytes: int
    products: int


@dataclass(frozen=True, slots=True)
class LinearHeCost:
    """All linear layers of a model, one inference.

    Attributes:
        setup_bytes: once a session, client to server.
        layers: bundle by bundle.
        up_bytes: client to server.
        down_bytes: server to client.
        rounds: times the client waits: one if all requests went first, but it sends AHEAD bundles ahead, so that it
            reads the answers to one while the server works on the next.
        weight_bytes: memory of all transformed weights.
    """

    setup_bytes: int
    layers: tuple[BundleCost, ...]
    up_bytes: int
    down_bytes: int
    rounds: int
    weight_bytes: int


def linear_he_cost(plan: LinearPlan) -> LinearHeCost:
    """The cost of a plan."""
    layers = tuple(_bundle_cost(plan, bundle) for bundle in range(len(plan.packings)))
    weights = (plan.weight_bytes(b, chunk) for b in range(len(plan.packings)) for chunk in plan.chunks(b))
    return LinearHeCost(
        setup_bytes=plan.hello_bytes(),
        layers=layers,
        up_bytes=sum(layer.up_bytes for layer in layers),
        down_bytes=sum(layer.down_bytes for layer in layers),
        rounds=max(1, len(layers) - AHEAD),
        weight_bytes=sum(weights),
    )


def _bundle_cost(plan: LinearPlan, bundle: int) -> BundleCost:
    packing = plan.packings[bundle]
    terms = [packing.terms(i, answer).size for i, count in enumerate(packing.answers) for answer in range(count)]
    return BundleCost(
        names=tuple(layer.name for layer in packing.bundle.layers),
        up_ciphertexts=packing.bands * packing.inputs,
        down_ciphertexts=packing.bands * len(terms),
        up_bytes=plan.request_bytes(bundle),
        down_bytes=sum(plan.chunk_bytes(bundle, chunk) for chunk in plan.chunks(bundle)),
        products=packing.bands * sum(terms),
    )
