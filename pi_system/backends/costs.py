"""What a backend says of its costs: the module ``cost`` of its folder, so that cost/ predicts it and names none.

A backend without that module runs, and is not predicted.

UNITS                               kinds of work that it and its gates count
gates(backend)                      the records of its gates; None where nothing overlaps, then also
lockstep(backend, public)           what every node opens
offline(backend, public, schedule)  one preparation of one inference
together(public, count)             what is otherwise of ``count`` inferences in one call; left out if nothing is
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from pi_system.artifact.graph import Node
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.registry import BACKENDS, module_of
from pi_system.errors import ConfigError
from pi_system.protocols.gate import Units
from pi_system.ring.carrier import Ring
from pi_system.secure.kept import HEADER_BYTES
from pi_system.secure.schedule import Gates, Schedule

ID_BYTES, ACK_BYTES = 16, 1
"""Of a bundle, from the client; and the server's word that it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a node of the graph opens, where parties take turns in lockstep.

    Attributes:
        node: it.
        rounds: exchanges: both parties compute, send at once and wait for the other's message, half a round trip.
        nbytes: opened in each direction.
        dealt_bytes: corrections from a dealer.
        macs: multiply-accumulates.
        relus: elements compared with zero.
        units: online work but the link's.
    """

    node: Node
    rounds: int = 0
    nbytes: int = 0
    dealt_bytes: int = 0
    macs: int = 0
    relus: int = 0
    units: Units


@dataclass(frozen=True, slots=True)
class Lockstep:
    """An online phase in which nothing overlaps: its nodes in execution order, then the message with the result."""

    openings: tuple[Opening, ...]
    result_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineCost:
    """The first preparation of a session, of one inference; those after it share what is once a session or a call.

    Attributes:
        nbytes: payload on all connections.
        unseen: of it, between dealer and server.
        setup_bytes: payload once a model and client, beyond ``nbytes``.
        stored: bytes on disk of the server and of the client.
        busiest: payload of the direction of a connection that carries most.
        rounds: round trips one after the other; a message alone is half of one.
        units: work but the link's and the files'.
    """

    nbytes: int
    unseen: int = 0
    setup_bytes: int
    stored: tuple[int, int]
    busiest: int
    rounds: float
    units: Units


@dataclass(frozen=True, slots=True)
class Together:
    """What inferences prepared in one call take beside, and less than, as many times one.

    Attributes:
        saved_bytes: payload.
        lasting_bytes: of the server's disk, once a model.
    """

    saved_bytes: int = 0
    lasting_bytes: int = 0


GROUPS: Final = (16, 4, 1)
"""Pictures whose weighted layers share ciphertexts (protocols/linear_he/packing.py): about the root of so many times
the bytes of one, and of its work but for products. Each size has its own transformed weights on the server's disk."""


class BackendCost(Protocol):
    """A module with these names; see above."""

    UNITS: tuple[str, ...]

    def gates(self, backend: str) -> Gates | None:
        """See above."""

    def lockstep(self, backend: str, public: PublicArtifact) -> Lockstep:
        """Raises ConfigError for a network that the backend cannot run."""

    def offline(self, backend: str, public: PublicArtifact, schedule: Schedule) -> OfflineCost:
        """Raises ConfigError for a network that the backend cannot run."""


def find_cost(backend: str) -> BackendCost:
    """The costs of a backend. Raises ConfigError for a name that is none, or one that says nothing of them."""
    if backend not in BACKENDS:
        raise ConfigError(f"backend: expected one of {', '.join(BACKENDS)}, found {backend[:40]!r}")
    module = module_of(backend, "cost")
    if module is None:
        raise ConfigError(f"costs: expected a module cost of backend {backend}, found none")
    return cast(BackendCost, module)


def overlapping() -> dict[str, Gates]:
    """The gates of every backend of the registry that says what they cost and whose layers overlap."""
    known = {name: find_cost(name).gates(name) for name in BACKENDS if module_of(name, "cost")}
    return {name: gates for name, gates in known.items() if gates}


def all_units() -> Iterator[str]:
    """The kinds of work of all backends of the registry that say what they cost; some more than once."""
    for backend in BACKENDS:
        if module_of(backend, "cost"):
            yield from find_cost(backend).UNITS


def stored_bytes(schedule: Schedule, gates: Gates, ring: Ring, seeds: Sequence[str]) -> tuple[int, int]:
    """Bytes of both parties' files of material."""
    server, client = (schedule.layout(role, gates, ring, seeds).nbytes + HEADER_BYTES for role in (0, 1))
    return server, client


def total_units(*parts: Units) -> Units:
    """The work of all of them."""
    return {name: sum(part.get(name, 0) for part in parts) for name in {key: None for part in parts for key in part}}
