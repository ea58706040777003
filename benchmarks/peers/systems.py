"""What a comparison runs: two pinned processes of one system that do one thing after another and say what it cost.

LinePair        both processes answer lines of JSON (spu/party.py, relu_party.py)
CryptenShipped  one program that launches both parties (crypten_shipped.py)
OurPair         pi-server and a client's session, as benchmarks/latency.py runs them
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from measuring.line_process import LineProcess, answers
from measuring.processes import TIMEOUT_S, Place
from measuring.schema import PartyBytes
from measuring.sessions import Session
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run, everything it takes included, seen from the client.

    Attributes:
        ms: wall-clock time, offline and online.
        total_bytes: payload of both directions.
        output: what the client learns, flat.
        offline_ms: its offline part, None where the system has no phases.
        online_bytes: of them in the online phase; None likewise.
        client_to_server_bytes: payload; None where only the sum is known.
        server_to_client_bytes: payload; None likewise.
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


class LinePair:
    """Two processes that answer {"run": INDEX} with {"seconds":, "traffic":, "output":, "peak_memory_bytes":}."""

    def __init__(self, name: str, parties: Sequence[LineProcess]):
        """Wait until server and client, in this order, said that they are ready."""
        self.name, self._parties, self._peak = name, parties, PartyBytes(server=0, client=0)
        answers(parties, TIMEOUT_S)

    def run(self, index: int) -> Sample:
        """One run of both; time and bytes are the client's."""
        for party in self._parties:
            party.tell({"run": index})
        server, client = answers(self._parties, TIMEOUT_S)
        self._peak = PartyBytes(server=server["peak_memory_bytes"], client=client["peak_memory_bytes"])
        sent, received = client["traffic"][:2]
        offline_s = client.get("offline_seconds")
        return Sample(
            ms=1000 * client["seconds"],
            offline_ms=None if offline_s is None else 1000 * offline_s,
            client_to_server_bytes=sent,
            server_to_client_bytes=received,
            total_bytes=sent + received,
            output=np.array(client["output"], dtype=np.float64),
        )

    def peak(self) -> PartyBytes:
        """Peak resident sets."""
        return self._peak


@contextmanager
def line_pair(name: str, commands: Sequence[Sequence[str]], place: Place, folder: Path) -> Iterator[LinePair]:
    """Start server and client of a LinePair; they end with the block."""
    with ExitStack() as stack:
        parties = []
        for role, command, prefix, core in zip(
            ("server", "client"), commands, place.prefixes, place.cores, strict=True
        ):
            log = folder / f"{name}-{role}.stderr".replace(":", "-")
            process = LineProcess(name, [*prefix, *command], log=log, core=core, threads=place.threads)
            parties.append(stack.enter_context(process))
        yield LinePair(name, parties)


class CryptenShipped:
    """CrypTen as its authors ship it; see crypten_shipped.py. It has no phases."""

    name = "crypten-shipped"

    def __init__(self, process: LineProcess):
        """Wait until both parties said that they are ready."""
        self._process, self._peak = process, PartyBytes(server=0, client=0)
        process.answer()

    def run(self, index: int) -> Sample:
        """One run of both; time is the client's, bytes are CrypTen's own count."""
        found = self._process.ask({"run": index}, TIMEOUT_S)
        self._peak = PartyBytes(**found["peak_memory_bytes"])
        output = np.array(found["output"], dtype=np.float64)
        return Sample(ms=1000 * found["seconds"], total_bytes=found["total_bytes"], output=output)

    def peak(self) -> PartyBytes:
        """Peak resident sets."""
        return self._peak


@contextmanager
def crypten_shipped(artifact: Path, pictures: Path, place: Place, folder: Path) -> Iterator[CryptenShipped]:
    """CrypTen's own launch of both parties; they end with the block."""
    cores = [-1 if core is None else core for core in place.cores]
    command = [sys.executable, "-u", "-m", "peers.crypten_shipped", "--artifact", str(artifact)]
    command += ["--pictures", str(pictures), "--server-core", str(cores[0]), "--client-core", str(cores[1])]
    with LineProcess(CryptenShipped.name, command, log=folder / "crypten-shipped.log") as process:
        yield CryptenShipped(process)


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
