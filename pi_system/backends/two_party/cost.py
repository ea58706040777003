"""What ``gmw``, ``gc`` and ``table`` cost: gates online; offline ciphertexts, and correlated OTs by Ferret's trees.

Units: ``ot_start``: a preparation; ``ot_byte``: payload bytes; ``ot_product``: coefficients of ciphertext products;
``ot_ciphertext``: coefficients of ciphertexts sent; ``ot_cot``: correlated OTs; ``pair_prepared``: truncated elements.
Online ``table`` counts those of ``fss``, by which it is computed.
"""

from pi_system.artifact.model import PublicArtifact
from pi_system.backends.costs import ACK_BYTES, ID_BYTES, OfflineCost, stored_bytes, total_units
from pi_system.backends.registry import check_runs
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.backends.two_party.offline import linear_plan
from pi_system.protocols.gate import Units
from pi_system.protocols.linear_he import linear_he_cost
from pi_system.protocols.ot.bytes import SETUP_BYTES, SETUP_ROUNDS, silent_bytes
from pi_system.protocols.ot.gate import GateOfflineCost, RoundsGate
from pi_system.protocols.truncation import offline_cost as truncation_cost
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
    ring, plan = Ring(public.public.ring.ring_bits), linear_plan(public)
    linear, degree = linear_he_cost(plan), plan.params.degree
    costs, units = _steps(backend, schedule)
    server_cots, client_cots = sum(cost.server_cots for cost in costs), sum(cost.client_cots for cost in costs)
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
        rounds=linear.rounds + SETUP_ROUNDS + _rounds(backend, schedule),
        units=total_units(units, own),
    )


def _steps(backend: str, schedule: Schedule) -> tuple[list[GateOfflineCost], Units]:
    """What gates and truncations declare, and their work."""
    costs, units = [], []
    for step in schedule.steps:
        if isinstance(step, Gate):
            gate = TWO_PARTY_GATES[backend][step.spec.kind]
            costs.append(gate.offline_cost(step.spec))
            units.append(gate.prepared(step.spec))
        elif isinstance(step, Truncation):
            costs.append(truncation_cost(step.spec))
            units.append({"pair_prepared": step.spec.count})
    return costs, total_units(*units)


def _rounds(backend: str, schedule: Schedule) -> int:
    """Round trips one after the other: those of most gates add up, many rounds run side by side, half a trip each."""
    alone, beside = 0, 0
    for step in schedule.steps:
        if isinstance(step, Truncation):
            alone += truncation_cost(step.spec).round_trips
        elif isinstance(step, Gate):
            gate = TWO_PARTY_GATES[backend][step.spec.kind]
            trips = gate.offline_cost(step.spec).round_trips
            if isinstance(gate, RoundsGate):
                beside = max(beside, trips)
            else:
                alone += trips
    return alone + (beside + 1) // 2
