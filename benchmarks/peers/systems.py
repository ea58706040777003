"""What a comparison runs: two pinned processes of one system that do one thing after another and say what it cost.

LinePair        both processes answer lines of JSON (spu/party.py, relu_party.py)
CryptenShipped  one program that launches both parties (crypten_shipped.py)
OurPair         pi-server and a client's session, as benchmarks/latency.py runs them
"""

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import ArtifactDigestError, PeerUnavailableError
from pi_system.measure import ClientTask, MeasuredClient, RunningProgram, party_cores, pinned, start_server
from pi_system.measure.line_process import LineProcess
from pi_system.measure.memory import peak_of_descendants_bytes
from pi_system.measure.processes import child_environment, end_group
from pi_system.measure.schema import PartyBytes

__all__ = [
    "CryptenShipped",
    "LinePair",
    "OurPair",
    "Place",
    "Sample",
    "System",
    "crypten_shipped",
    "free_port",
    "line_pair",
    "our_pair",
]

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 3600.0
_NO_DEALER = "127.0.0.1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the two parties run.

    Attributes:
        name: of the link, in the result.
        link: what our channel imitates; ``loopback`` where the link itself is emulated.
        hosts: addresses of server and client as the other sees them.
        prefixes: commands in front of the server's and the client's, such as ``ip netns exec NAME``.
        keys: folder of ``write_keys`` for our connections; None: plaintext.
        pinned: each party on its own core with one thread; else both use every core.
    """

    name: str
    link: str
    hosts: tuple[str, str] = ("127.0.0.1", "127.0.0.1")
    prefixes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    keys: Path | None = None
    pinned: bool = True

    @property
    def imitated(self) -> bool:
        """Whether the link exists only in our channel, so that another system's bytes do not see it."""
        return self.link != "loopback"

    @property
    def cores(self) -> tuple[int | None, int | None]:
        """Of server and client."""
        cores = party_cores()
        return (cores["server"], cores["client"]) if self.pinned else (None, None)

    @property
    def threads(self) -> int | None:
        """Of numerical libraries, None: their default."""
        return 1 if self.pinned else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run, everything it takes included, seen from the client.

    Attributes:
        ms: wall-clock time, offline and online.
        offline_ms: its offline part, None where the system has no phases.
        client_to_server_bytes: payload; None where only the sum is known.
        server_to_client_bytes: payload; None likewise.
        total_bytes: payload of both directions.
        output: what the client learns, flat.
        online_bytes: of them in the online phase; None where the system has no phases.
    """

    ms: float
    offline_ms: float | None
    client_to_server_bytes: int | None
    server_to_client_bytes: int | None
    total_bytes: int
    output: NDArray[np.float64]
    online_bytes: int | None = None


class System(Protocol):
    """One system at work."""

    name: str

    def run(self, index: int) -> Sample:
        """Do the thing on input ``index``. Raises PeerUnavailableError."""

    def peak(self) -> PartyBytes:
        """Peak memory so far."""


class LinePair:
    """Two processes that answer {"run": INDEX} with {"seconds":, "traffic":, "output":, "peak_memory_bytes":}."""

    def __init__(self, name: str, processes: Sequence["subprocess.Popen[str]"], logs: Sequence[Path]):
        """Wait until server and client, in this order, said that they are ready."""
        self.name, self._processes, self._logs = name, tuple(processes), tuple(logs)
        self._peak = PartyBytes(server=0, client=0)
        self._answers()

    def run(self, index: int) -> Sample:
        """One run of both; time and bytes are the client's."""
        for process in self._processes:
            _pipe(process.stdin).write(json.dumps({"run": index}) + "\n")
            _pipe(process.stdin).flush()
        server, client = self._answers()
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

    def _answers(self) -> list[dict[str, Any]]:
        """A line of each; whichever ends first ends the wait."""
        found: dict[int, dict[str, Any]] = {}
        while len(found) < len(self._processes):
            waiting = {_pipe(p.stdout): i for i, p in enumerate(self._processes) if i not in found}
            ready = select.select(list(waiting), [], [], TIMEOUT_S)[0]
            if not ready:
                raise PeerUnavailableError(f"{self.name}: expected an answer, found silence for {TIMEOUT_S:g} s")
            for pipe in ready:
                line = pipe.readline()
                if not line:
                    tail = self._logs[waiting[pipe]].read_text(errors="replace")[-600:]
                    raise PeerUnavailableError(f"{self.name}: expected an answer, found that it ended: {tail}")
                found[waiting[pipe]] = json.loads(line)
        return [found[index] for index in range(len(self._processes))]


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise PeerUnavailableError("party: expected pipes, found none")
    return pipe


@contextmanager
def line_pair(name: str, commands: Sequence[Sequence[str]], place: Place, folder: Path) -> Iterator[LinePair]:
    """Start server and client of a LinePair; they end with the block."""
    logs = [folder / f"{name}-{role}.stderr".replace(":", "-") for role in ("server", "client")]
    processes: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:
        for command, prefix, core, log in zip(commands, place.prefixes, place.cores, logs, strict=True):
            with pinned(core), open(log, "wb") as stderr:
                process = subprocess.Popen(
                    [*prefix, *command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    env=child_environment(place.threads),
                    start_new_session=True,
                )
            processes.append(process)
            stack.callback(_end, process)
        yield LinePair(name, processes, logs)


def _end(process: "subprocess.Popen[str]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    end_group(process)


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
        return Sample(
            ms=1000 * found["seconds"],
            offline_ms=None,
            client_to_server_bytes=None,
            server_to_client_bytes=None,
            total_bytes=found["total_bytes"],
            output=np.array(found["output"], dtype=np.float64),
        )

    def peak(self) -> PartyBytes:
        """Peak resident sets."""
        return self._peak


@contextmanager
def crypten_shipped(artifact: Path, pictures: Path, place: Place, folder: Path) -> Iterator[CryptenShipped]:
    """CrypTen's own launch of both parties; they end with the block."""
    cores = [-1 if core is None else core for core in place.cores]
    command = [sys.executable, "-u", str(HERE / "crypten_shipped.py"), "--artifact", str(artifact)]
    command += ["--pictures", str(pictures), "--server-core", str(cores[0]), "--client-core", str(cores[1])]
    with LineProcess(CryptenShipped.name, command, log=folder / "crypten-shipped.log") as process:
        yield CryptenShipped(process)


class OurPair:
    """One of our backends: the offline phase for one picture, then its online phase."""

    def __init__(self, name: str, server: RunningProgram, client: MeasuredClient):
        """Both are running."""
        self.name, self._server, self._client = name, server, client

    def run(self, index: int) -> Sample:
        """Prepare one inference, on both disks, and use it."""
        offline = self._client.prepare(1)
        inference = self._client.infer(index, 1)
        online = inference.cost
        online_bytes = online.client_to_server_bytes + online.server_to_client_bytes
        return Sample(
            ms=offline.offline_ms + online.online_ms,
            offline_ms=offline.offline_ms,
            client_to_server_bytes=None,
            server_to_client_bytes=None,
            total_bytes=offline.offline_bytes + online_bytes,
            output=inference.logits.reshape(-1),
            online_bytes=online_bytes,
        )

    def peak(self) -> PartyBytes:
        """Peak resident sets of the session's process and of the client."""
        return PartyBytes(server=peak_of_descendants_bytes(self._server.pid), client=self._client.peak_memory_bytes)


@contextmanager
def our_pair(
    backend: str,
    artifact: Path,
    digest: str,
    pictures: Path,
    place: Place,
    folder: Path,
    dealer: str = _NO_DEALER,
) -> Iterator[OurPair]:
    """Server and client session of ``backend``; ``dealer``: HOST:PORT, for those that need one.

    Raises:
        ArtifactDigestError: the client sees another model than ``digest``.
    """
    folder = folder / backend
    with start_server(
        artifact,
        dealer,
        folder,
        backends=(backend,),
        max_sessions=1,
        timeout_s=TIMEOUT_S,
        host=place.hosts[0],
        keys=place.keys,
        core=place.cores[0],
        threads=place.threads,
        prefix=place.prefixes[0],
    ) as server:
        task = ClientTask(
            server=server.address,
            dealer=dealer,
            backend=backend,
            link=place.link,
            store=folder / "client-store",
            pictures=pictures,
            timeout_s=TIMEOUT_S,
            keys=place.keys,
        )
        threads = place.threads or len(party_cores())
        log = folder / "client.log"
        with MeasuredClient(task, log=log, core=place.cores[1], threads=threads, prefix=place.prefixes[1]) as client:
            if client.digest != digest:
                raise ArtifactDigestError(f"artifact: expected {digest[:16]}, found {client.digest[:16]}")
            yield OurPair(backend, server, client)


def free_port() -> int:
    """A port that was free a moment ago: SPU's parties must know both ports beforehand."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
