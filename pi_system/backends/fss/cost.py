"""What ``fss`` costs: its gates online; offline the messages of gates.py and of weights.py.

Units: ``dealt_start``: a preparation; ``dealt_mac``: multiply-accumulates with full-width weights; ``dealt_weight``:
bytes of masked weights, which every preparation draws, reads and packs again; ``dealt_byte``: payload bytes.
"""

from math import prod
from typing import Final

from pi_system.artifact.model import PublicArtifact
from pi_system.backends.costs import ACK_BYTES, ID_BYTES, OfflineCost, stored_bytes, total_units
from pi_system.backends.fss.gates import FSS_GATES, SEEDS, sizes
from pi_system.program.counts import mac_count
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.schedule import Gates, Schedule

UNITS = (
    *("fss_call", "fss_level", "fss_element", "square_call", "square_element", "dealt_level"),
    *("dealt_start", "dealt_mac", "dealt_weight", "dealt_byte"),
)
_FLAG_BYTES: Final = 1
_ROUNDS: Final = 3
"""Weight mask's name and its answer; the weight seed and the dealer's start; the last message and its receipt."""


def gates(backend: str) -> Gates:
    """See BackendCost."""
    return FSS_GATES


def offline(backend: str, public: PublicArtifact, schedule: Schedule) -> OfflineCost:
    """See BackendCost."""
    graph, ring, records = public.public.graph, Ring(public.public.ring.ring_bits), FSS_GATES
    messages = [sizes(step, records, ring) for step in schedule.steps]
    to_server, to_client, up = (sum(map(sum, link)) for link in zip(*messages, strict=True))
    to_server, to_client = to_server + 2 * SEED_BYTES, to_client + 2 * SEED_BYTES
    up += _FLAG_BYTES + ID_BYTES
    nbytes = to_client + to_server + SEED_BYTES + up + SEED_BYTES + ACK_BYTES
    weights = ring.itemsize * sum(prod(node.weight_shape) for node in graph.weighted)
    macs = mac_count(graph) * (ring.itemsize // 4)
    return OfflineCost(
        nbytes=nbytes,
        unseen=to_server + SEED_BYTES,
        setup_bytes=weights,
        stored=stored_bytes(schedule, records, ring, SEEDS),
        busiest=max(to_client, to_server),
        rounds=_ROUNDS,
        units=total_units(
            *(records[gate.spec.kind].prepared(gate.spec) for gate in schedule.gates),
            {"dealt_start": 1, "dealt_mac": macs, "dealt_byte": nbytes, "dealt_weight": weights},
        ),
    )
