"""The offline phase of one inference: exact bytes and storage, and the work that its time is priced by.

Bytes follow from the protocols' declarations: message sizes of backends/fss/gates.py and
backends/two_party/offline.py, the ciphertexts of a linear_he plan, GateCost's offline sibling, and the correlated OTs,
whose bytes are those of Ferret's trees. They are those of preparing one inference in a call of its own; several in one
call share what is once a call. Storage is the layout of the material files.

Units: ``dealt_start``, ``ot_start``: a preparation; ``dealt_level``: elements times the bits a key compares;
``dealt_mac``: multiply-accumulates with full-width weights; ``dealt_weight``: bytes of masked weights, which every
preparation draws, reads and packs again; ``dealt_byte``, ``ot_byte``: payload bytes; ``ot_product``: coefficients of
ciphertext products; ``ot_ciphertext``: coefficients of ciphertexts sent; ``ot_cot``: correlated OTs; ``gmw_prepared``:
elements; ``gc_prepared``: elements times comparison bits; ``pair_prepared``: truncated elements; ``stored_byte``: of
the larger material file, hashed, written and synced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from pi_system.artifact.model import PublicArtifact
from pi_system.artifact.shapes import weight_shapes
from pi_system.backends.fss.gates import SEEDS, DealtGates, fss_gates, sizes
from pi_system.backends.two_party.gates import TWO_PARTY_GATES, OtGates
from pi_system.backends.two_party.offline import linear_plan
from pi_system.channel.shaped import Link
from pi_system.cost.crypten import openings
from pi_system.cost.gates import prepared
from pi_system.cost.work import START, Moment, Prices, Work, later, work
from pi_system.program.counts import mac_count
from pi_system.protocols.linear_he import linear_he_cost
from pi_system.protocols.ot.bytes import SETUP_BYTES, SETUP_ROUNDS, silent_bytes
from pi_system.protocols.truncation import offline_cost as truncation_cost
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.kept import HEADER_BYTES
from pi_system.secure.schedule import Gate, Gates, Remask, Schedule, Truncation

_ID_BYTES, _ACK_BYTES, _FLAG_BYTES = 16, 1, 1
_DEALT_ROUNDS: Final = 3
"""Weight mask's name and its answer; the weight seed and the dealer's start; the last message and its receipt."""


@dataclass(frozen=True, slots=True)
class OfflinePlan:
    """One preparation of one inference.

    Attributes:
        nbytes: payload on all connections.
        setup_bytes: payload once a model and client, beyond ``nbytes``.
        stored: bytes on disk of the server and of the client.
        busiest: payload of the direction of a connection that carries most.
        rounds: round trips one after the other.
        units: work but the link's and the files'.
    """

    nbytes: int
    setup_bytes: int
    stored: tuple[int, int]
    busiest: int
    rounds: int
    units: Work

    def over(self, link: Link, prices: Prices) -> Moment:
        """When it is done: work and link side by side, then the slower party's file and what is waited for."""
        done = later(prices.after(START, self.units), prices.after(START, self._transfer(link)))
        return prices.after(done, work(stored_byte=max(self.stored), round_trip=1e9 * self.rounds * link.rtt_s))

    def _transfer(self, link: Link) -> Work:
        return work(transfer=1e9 * link.transfer_s(self.busiest))


def plan_offline(public: PublicArtifact, schedule: Schedule, backend: str) -> OfflinePlan:
    """The offline phase of ``backend``, one of those in gates.py or ``crypten``."""
    if backend == "crypten":
        return _crypten(public)
    if backend == "fss":
        return _dealt(public, schedule, fss_gates())
    return _two_party(public, schedule, TWO_PARTY_GATES[backend])


def _dealt(public: PublicArtifact, schedule: Schedule, gates: DealtGates) -> OfflinePlan:
    ring = Ring(public.public.ring.ring_bits)
    messages = [sizes(step, gates, ring) for step in schedule.steps]
    to_server, to_client, up = (sum(map(sum, link)) for link in zip(*messages, strict=True))
    to_server, to_client = to_server + 2 * SEED_BYTES, to_client + 2 * SEED_BYTES
    up += _FLAG_BYTES + _ID_BYTES
    nbytes = to_client + to_server + SEED_BYTES + up + SEED_BYTES + _ACK_BYTES
    shapes = weight_shapes(public.public.graph)
    weights = ring.itemsize * sum(prod(shape) for name, shape in shapes.items() if name.endswith(".weight"))
    return OfflinePlan(
        nbytes=nbytes,
        setup_bytes=weights,
        stored=_stored(schedule, gates, ring, SEEDS),
        busiest=max(to_client, to_server),
        rounds=_DEALT_ROUNDS,
        units=sum((prepared(gates[gate.spec.kind], gate.spec) for gate in schedule.gates), start=work())
        + work(
            dealt_start=1,
            dealt_mac=mac_count(public.public.graph) * (ring.itemsize // 4),
            dealt_byte=nbytes,
            dealt_weight=weights,
        ),
    )


def _two_party(public: PublicArtifact, schedule: Schedule, gates: OtGates) -> OfflinePlan:
    ring, plan = Ring(public.public.ring.ring_bits), linear_plan(public)
    linear, elements = linear_he_cost(plan), work()
    down, up = linear.down_bytes + SETUP_BYTES + _ACK_BYTES, linear.setup_bytes + linear.up_bytes + SETUP_BYTES
    up += _ID_BYTES + _remasked(schedule, ring)
    server_cots = client_cots = rounds = 0
    for step in schedule.steps:
        if isinstance(step, Gate):
            gate = gates[step.spec.kind]
            cost, elements = gate.offline_cost(step.spec), elements + prepared(gate, step.spec)
        elif isinstance(step, Truncation):
            cost, elements = truncation_cost(step.spec), elements + work(pair_prepared=step.spec.count)
        else:
            continue
        down += cost.server_to_client_bytes
        up += cost.client_to_server_bytes
        server_cots += cost.server_cots
        client_cots += cost.client_cots
        rounds += cost.round_trips
    for cots, mine in ((server_cots, 0), (client_cots, 1)):
        sender, receiver = silent_bytes(cots)
        down, up = (down + sender, up + receiver) if mine == 0 else (down + receiver, up + sender)
    degree = plan.params.degree
    sent = sum(layer.up_ciphertexts + layer.down_ciphertexts for layer in linear.layers)
    return OfflinePlan(
        nbytes=down + up,
        setup_bytes=0,
        stored=_stored(schedule, gates, ring, ("seed",)),
        busiest=max(down, up),
        rounds=linear.rounds + SETUP_ROUNDS + rounds,
        units=elements
        + work(
            ot_start=1,
            ot_product=degree * len(plan.params.primes) * sum(layer.products for layer in linear.layers),
            ot_ciphertext=degree * sent,
            ot_cot=server_cots + client_cots,
            ot_byte=down + up,
        ),
    )


def _stored(schedule: Schedule, gates: Gates, ring: Ring, seeds: Sequence[str]) -> tuple[int, int]:
    """Bytes of both parties' files."""
    server, client = (layout.nbytes + HEADER_BYTES for layout in schedule.layouts(gates, ring, seeds))
    return server, client


def _crypten(public: PublicArtifact) -> OfflinePlan:
    dealt = 8 * sum(opening.dealt for opening in openings(public.public.graph))
    nbytes = dealt + 2 * SEED_BYTES
    return OfflinePlan(
        nbytes=nbytes,
        setup_bytes=2 * SEED_BYTES,
        stored=(0, 0),
        busiest=dealt + SEED_BYTES,
        rounds=1,
        units=work(
            crypten_offline_start=1, crypten_offline_byte=nbytes, crypten_offline_mac=mac_count(public.public.graph)
        ),
    )


def _remasked(schedule: Schedule, ring: Ring) -> int:
    return ring.itemsize * sum(step.count for step in schedule.steps if isinstance(step, Remask))
