"""Which gates, truncations and re-maskings share their round trips offline, and how they do.

None of them needs what another one brings: masks are drawn and the answers of weighted layers are there. So all of a
picture, and of several pictures, could go side by side (protocols/half.py, ``abreast``); memory alone says where one
batch ends and the next begins.
"""

from collections.abc import Iterator
from typing import Final

from pi_system.backends.two_party.gates import OtGates
from pi_system.channel.base import Channel
from pi_system.channel.drive import drive
from pi_system.protocols.half import Half, abreast, together
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.truncation import offline_cost as truncation_cost
from pi_system.ring.carrier import Ring
from pi_system.secure.schedule import Gate, Remask, Schedule, Truncation

BATCH_BYTES: Final = 64 << 20
"""Material that a batch makes, of the party that keeps more of it: 1.6 million ReLUs of ``gmw``, 50,000 of ``gc``.
Larger: memory, of which making it takes about three times as much; and the client's messages, which the server takes
only when it has sent its own for the whole batch, must find room on their way (rpc/frames.py). Smaller: a round trip
more for each."""

RUN_PICTURES: Final = 16
"""Pictures of a batch at most. More: more of them are lost when a preparation is stopped. Fewer: more round trips."""

Exchange = Gate | Truncation | Remask
"""A step about which the parties talk after the weighted layers are answered."""
Begun = Half[Half[None] | None]
"""One party's half of such a step; what is left of it are rounds, if it has many, or nothing."""


def declared(step: Gate | Truncation, gates: OtGates) -> GateOfflineCost:
    """What a step costs offline."""
    return truncation_cost(step.spec) if isinstance(step, Truncation) else gates[step.spec.kind].offline_cost(step.spec)


def cots(schedule: Schedule, gates: OtGates) -> tuple[int, int]:
    """Correlated OTs that a picture takes: those whose sender is the server, those whose sender is the client."""
    costs = [declared(step, gates) for step in schedule.steps if isinstance(step, Gate | Truncation)]
    return sum(cost.server_cots for cost in costs), sum(cost.client_cots for cost in costs)


def exchanges(schedule: Schedule, gates: OtGates, ring: Ring) -> list[tuple[Exchange, int]]:
    """The steps in order, each with the bytes that it makes at the party that keeps more of them."""
    return [
        (step, max(sum(nbytes for _, nbytes in step.sections(role, gates, ring)) for role in (0, 1)))
        for step in schedule.steps
        if isinstance(step, Exchange)
    ]


def side_by_side(schedule: Schedule, gates: OtGates, ring: Ring, count: int) -> list[int]:
    """Of ``count`` pictures how many share a batch, run by run: as many as it has room for, at most RUN_PICTURES."""
    each = max(1, sum(size for _, size in exchanges(schedule, gates, ring)))
    most = min(max(1, BATCH_BYTES // each), RUN_PICTURES)
    return [min(most, count - first) for first in range(0, count, most)]


def batches(schedule: Schedule, gates: OtGates, ring: Ring, pictures: int = 1) -> Iterator[list[Exchange]]:
    """The steps of the pictures in order, cut so that a batch, unless it is one step, makes at most BATCH_BYTES."""
    batch: list[Exchange] = []
    held = 0
    for step, size in exchanges(schedule, gates, ring) * pictures:
        if batch and held + size > BATCH_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(step)
        held += size
    if batch:
        yield batch


class Batches:
    """Runs one party's halves; they come picture by picture, in the schedule's order."""

    def __init__(self, schedule: Schedule, gates: OtGates, ring: Ring, peer: Channel, pictures: int):
        """None yet."""
        self._sizes = (len(batch) for batch in batches(schedule, gates, ring, pictures))
        self._size = next(self._sizes, 0)
        self._peer = peer
        self._halves: list[Begun] = []

    def add(self, half: Begun) -> None:
        """The half of the next step, which runs with its batch: now, if it is the last one."""
        self._halves.append(half)
        if len(self._halves) == self._size:
            halves, self._halves, self._size = self._halves, [], next(self._sizes, 0)
            drive(_run(halves), self._peer)


def _run(halves: list[Begun]) -> Half[None]:
    """What all begin, then the rounds of those that have many."""
    begun = yield from abreast(halves)
    yield from together([rounds for rounds in begun if rounds is not None])
