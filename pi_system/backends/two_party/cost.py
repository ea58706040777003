"""What ``gmw``, ``gc`` and ``table`` cost: gates online; offline ciphertexts, and correlated OTs by Ferret's trees.

Units: ``ot_start``: a preparation; ``ot_byte``: payload bytes; ``ot_product``: coefficients of ciphertext products;
``ot_ciphertext``: coefficients of ciphertexts sent; ``ot_cot``: correlated OTs; ``pair_prepared``: truncated elements.
Online ``table`` counts those of ``fss``, by which it is computed.
"""

from dataclasses import dataclass
from functools import lru_cache

from pi_system.artifact.model import PublicArtifact
from pi_system.backends.costs import ACK_BYTES, ID_BYTES, OfflineCost, Together, stored_bytes, total_units
from pi_system.backends.registry import check_runs
from pi_system.backends.two_party.batches import batches, cots, declared
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.backends.two_party.offline import LinearPlans
from pi_system.protocols.gate import Units
from pi_system.protocols.linear_he import linear_he_cost
from pi_system.protocols.ot.bytes import SETUP_BYTES, SETUP_ROUNDS, silent_bytes
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.ring.carrier import Ring
from pi_system.secure.schedule import Gate, Gates, Remask, Schedule, Truncation

UNITS = (
    *("gmw_call", "gmw_element", "gmw_prepared", "gc_call", "gc_wire", "gc_prepared", "square_call", "square_element"),
    *("table_prepared", "table_entry", "fss_call", "fss_element"),
    *("ot_start", "ot_product", "ot_ciphertext", "ot_cot", "ot_byte", "pair_prepared"),
)


def gates(backend: str) -> Gates:
    """See BackendCost."""
    return TWO_PARTY_GATES[backend]


def offline(backend: str, public: PublicArtifact, schedule: Schedule) -> OfflineCost:
    """See BackendCost."""
    check_runs(public.public, backend)
    ring, plan = Ring(public.public.ring.ring_bits), _plans(public).alone
    linear, degree = linear_he_cost(plan), plan.params.degree
    costs, units = _steps(backend, schedule)
    server_cots, client_cots = cots(schedule, TWO_PARTY_GATES[backend])
    server_sends, client_answers = silent_bytes(server_cots)
    client_sends, server_answers = silent_bytes(client_cots)
    down = linear.down_bytes + SETUP_BYTES + ACK_BYTES + server_sends + server_answers
    down += sum(cost.server_to_client_bytes for cost in costs)
    up = linear.setup_bytes + linear.up_bytes + SETUP_BYTES + ID_BYTES + client_sends + client_answers
    up += sum(cost.client_to_server_bytes for cost in costs)
    up += ring.itemsize * sum(step.count for step in schedule.steps if isinstance(step, Remask))
    own = {
        "ot_start": 1,
        "ot_product": degree * len(plan.params.primes) * sum(layer.products for layer in linear.layers),
        "ot_ciphertext": degree * sum(layer.up_ciphertexts + layer.down_ciphertexts for layer in linear.layers),
        "ot_cot": server_cots + client_cots,
        "ot_byte": down + up,
    }
    return OfflineCost(
        nbytes=down + up,
        setup_bytes=0,
        stored=stored_bytes(schedule, gates(backend), ring, ("seed",)),
        busiest=max(down, up),
        rounds=_rounds(backend, schedule, ring, linear.rounds),
        units=total_units(units, own),
    )


def together(public: PublicArtifact, count: int) -> Together:
    """See BackendCost: groups share ciphertexts, and transformed weights are kept."""
    plans = _plans(public)
    one, groups = linear_he_cost(plans.alone), [linear_he_cost(plan) for plan in plans.groups(count)]
    shared = sum(cost.up_bytes + cost.down_bytes for cost in groups)
    return Together(count * (one.up_bytes + one.down_bytes) - shared, sum(plans.kept_weights(count).values()))


@lru_cache(maxsize=2)
def _plans(public: PublicArtifact) -> LinearPlans:
    """Of all backends here: the same layers, planned once."""
    return LinearPlans(public)


def _steps(backend: str, schedule: Schedule) -> tuple[list[GateOfflineCost], Units]:
    """What gates and truncations declare, and their work."""
    gates, costs, units = TWO_PARTY_GATES[backend], [], []
    for step in schedule.steps:
        if isinstance(step, Gate | Truncation):
            costs.append(declared(step, gates))
            pairs = {"pair_prepared": step.spec.count}
            units.append(gates[step.spec.kind].prepared(step.spec) if isinstance(step, Gate) else pairs)
    return costs, total_units(*units)


@dataclass(slots=True)
class _Moments:
    """For each party how many messages, each after the one before, led to where it is: half round trips."""

    server: int = 0
    client: int = 0

    def both(self) -> None:
        """Both send, then receive."""
        self.server, self.client = max(self.server, self.client + 1), max(self.client, self.server + 1)

    def down(self) -> None:
        """The server sends, the client receives."""
        self.client = max(self.client, self.server + 1)

    def up(self) -> None:
        """The reverse."""
        self.server = max(self.server, self.client + 1)


def _rounds(backend: str, schedule: Schedule, ring: Ring, linear_rounds: int) -> float:
    """Setup, weighted layers, batch by batch the longest of what goes side by side, and the server's last word.

    Fewer where a batch after the first is so small that COTs left over serve it, or has differences alone.
    """
    gates, at = TWO_PARTY_GATES[backend], _Moments()
    for _ in range(SETUP_ROUNDS):
        at.both()
    at.client += 2 * linear_rounds
    at.server = at.client - 1
    for batch in batches(schedule, gates, ring):
        costs = [declared(step, gates) for step in batch if not isinstance(step, Remask)]
        trips = max((cost.round_trips for cost in costs), default=1)  # differences alone: a message up, at most
        for _ in range(trips):
            at.down()
            at.up()
        for _ in range(max((cost.rounds for cost in costs), default=0)):
            at.both()
    at.down()
    return at.client / 2
