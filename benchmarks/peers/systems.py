"""What a comparison runs: two pinned processes of one system that do one thing after another and say what it cost.

Lines    processes that answer lines of JSON (spu/party.py, relu_party.py, crypten_shipped.py)
OurPair  pi-server and a client's session, as benchmarks/latency.py runs them
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from measuring.line_process import LineProcess, answers, party_pair
from measuring.processes import TIMEOUT_S, Place
from measuring.schema import PartyBytes
from measuring.sessions import Session
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run, everything it takes included, seen from the client: wall-clock ms, payload both ways, flat output.

    What a system does not have (phases) or does not tell (directions) is None.
    """

    ms: float
    total_bytes: int
    output: NDArray[np.float64]
    offline_ms: float | None = None
    online_bytes: int | None = None
    client_to_server_bytes: int | None = None
    server_to_client_bytes: int | None = None


class System(Protocol):
    """One system at work."""

    name: str

    def run(self, index: int) -> Sample:
        """Do the thing on input ``index``. Raises PeerUnavailableError."""

    def peak(self) -> PartyBytes:
        """Peak memory so far."""


class Lines:
    """Processes that answer {"run": INDEX}, each with its part of the cost; time and output are those of the last.

    Two parties answer with {"seconds":, "traffic":, "output":, "peak_memory_bytes":}, one program that launches both
    with {"seconds":, "total_bytes":, "output":, "peak_memory_bytes": {"server":, "client":}}.
    """

    def __init__(self, name: str, parties: Sequence[LineProcess]):
        """Wait until all of them said that they are ready."""
        self.name, self._parties, self._peak = name, parties, PartyBytes(server=0, client=0)
        answers(parties, TIMEOUT_S)

    def run(self, index: int) -> Sample:
        """One run of all."""
        for party in self._parties:
            party.tell({"run": index})
        found = answers(self._parties, TIMEOUT_S)
        first, last, both = found[0]["peak_memory_bytes"], found[-1]["peak_memory_bytes"], len(found) > 1
        self._peak = PartyBytes(server=first, client=last) if both else PartyBytes(**last)
        sent, received = found[-1].get("traffic", (None, None))[:2]
        offline_s = found[-1].get("offline_seconds")
        return Sample(
            ms=1000 * found[-1]["seconds"],
            offline_ms=None if offline_s is None else 1000 * offline_s,
            client_to_server_bytes=sent,
            server_to_client_bytes=received,
            total_bytes=sent + received if both else found[-1]["total_bytes"],
            output=np.array(found[-1]["output"], dtype=np.float64),
        )

    def peak(self) -> PartyBytes:
        """Peak resident sets."""
        return self._peak


@contextmanager
def line_pair(name: str, commands: Sequence[Sequence[str]], place: Place, folder: Path) -> Iterator[Lines]:
    """Server and client, which end with the block."""
    with party_pair(name, commands, place, folder) as pair:
        yield Lines(name, pair)


@contextmanager
def crypten_shipped(artifact: Path, pictures: Path, place: Place, folder: Path) -> Iterator[Lines]:
    """CrypTen's own launch of both parties (crypten_shipped.py), without phases; they end with the block."""
    server, client = (str(-1 if core is None else core) for core in place.cores)
    command = [sys.executable, "-u", "-m", "peers.crypten_shipped", "--artifact", str(artifact)]
    command += ["--pictures", str(pictures), "--server-core", server, "--client-core", client]
    with LineProcess("crypten-shipped", command, log=folder / "crypten-shipped.log") as process:
        yield Lines("crypten-shipped", [process])


class OurPair:
    """One of our backends: the offline phase for one picture, on both disks, then its online phase."""

    def __init__(self, session: Session):
        """It is open."""
        self.name, self._session, self.peak = session.backend, session, session.peak

    def run(self, index: int) -> Sample:
        """Prepare one inference and use it."""
        inference, offline = self._session.call(index), self._session.offline[-1]
        online_bytes = inference.cost.client_to_server_bytes + inference.cost.server_to_client_bytes
        return Sample(
            ms=offline.offline_ms + inference.cost.online_ms,
            offline_ms=offline.offline_ms,
            total_bytes=offline.offline_bytes + online_bytes,
            output=inference.logits.reshape(-1),
            online_bytes=online_bytes,
        )
