"""Declared cost: bytes of every message and rounds, from public shapes alone; tests compare them with a channel's."""

from dataclasses import dataclass

from pi_system.protocols.linear_he.plan import LinearPlan


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
    """All linear layers of a model, for the pictures of a plan together.

    Attributes:
        setup_bytes: once a session, client to server.
        layers: bundle by bundle.
        up_bytes: client to server.
        down_bytes: server to client.
        rounds: round trips one after the other: one, if all requests go before the first answers are read; more for
            a network whose messages would take too much room at once (``LinearPlan.ahead``).
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
        rounds=_rounds(plan.ahead),
        weight_bytes=sum(weights),
    )


def _rounds(ahead: tuple[int, ...]) -> int:
    """A request that was sent after answers had been read is a round trip later than they."""
    arrived: list[int] = []
    for bundle, sent in enumerate(ahead):
        before = arrived[bundle - 1] if bundle else 0
        arrived += [before + 1] * (sent - len(arrived))
    return arrived[-1]


def _bundle_cost(plan: LinearPlan, bundle: int) -> BundleCost:
    packing = plan.packings[bundle]
    terms = [packing.terms(i, answer).size for i, count in enumerate(packing.answers) for answer in range(count)]
    return BundleCost(
        names=tuple(layer.name for layer in packing.bundle.layers),
        up_ciphertexts=plan.ciphertexts(bundle) * packing.inputs,
        down_ciphertexts=plan.ciphertexts(bundle) * len(terms),
        up_bytes=plan.request_bytes(bundle),
        down_bytes=sum(plan.chunk_bytes(bundle, chunk) for chunk in plan.chunks(bundle)),
        products=plan.ciphertexts(bundle) * sum(terms),
    )
