"""Clients that come and go at a real server: every request is a session of its own, opened when it arrives.

Clients are threads of this process, each with an id, a store and a queue of its own; a latency counts from the
scheduled arrival, so it has the wait for the client's earlier requests, for a place (the server says "busy" and the
client comes again within its timeout), and, where preparation is counted, for an offline phase. Requests come when a
schedule says so (open loop), or, as many clients as there are at once, each when the one before is done (closed loop).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import psutil
from measuring.arrivals import percentile, poisson_schedule, split
from measuring.programs import RunningProgram
from measuring.question import Sample
from measuring.sessions import Network
from numpy.typing import NDArray

from pi_system.errors import BusyError, PiError
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.session_config import SessionConfig

_SAMPLE_S: Final = 0.5
PERCENTILES: Final = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a server is put under.

    Attributes:
        backend: of every session.
        clients: that requests are dealt to, at random.
        rate_per_s: of Poisson arrivals, of all clients together; None: a client asks again when it has its answer.
        duration_s: for which requests arrive.
        counted: each request prepares its inference itself; else material is there before the first arrives.
        timeout_s: for which a client waits for a place, and for a silent server.
        seed: of the schedule.
    """

    backend: str
    clients: int
    rate_per_s: float | None
    duration_s: float
    counted: bool
    timeout_s: float = 60.0
    seed: int = 1


class _NoPlaceToPrepareError(Exception):
    def __init__(self, busy: BusyError):
        super().__init__(busy)
        self.busy = busy


class Client:
    """One client of a load: its id, its store, and what became of its requests.

    Attributes:
        index: its number.
        requests: what became of those of ``run``.
        entered_s: CLOCK_MONOTONIC seconds at which it had a place for its last request.
    """

    def __init__(self, index: int, load: Load, network: Network, server: str, dealer: str, folder: Path):
        """Nothing is opened yet."""
        self.requests, self.index, self.entered_s = list[Sample](), index, 0.0
        self._load, self._network = load, network
        self._busy = 0
        store = folder / f"client-{index}"
        self._endpoint = Endpoint(
            server=server,
            dealer=dealer,
            store_dir=store,
            timeout_s=load.timeout_s,
            busy_timeout_s=load.timeout_s,
            connect_timeout_s=load.timeout_s,
            on_busy=self._told,
        )
        own = bytes([load.seed % 256, index]).rjust(16, b"\1")
        self._config = SessionConfig(backend=load.backend, artifact_digest="", client_id=own)

    def prepare(self, count: int) -> None:
        """Have ``count`` inferences ready. Raises PiError."""
        with self._open(prepares=True) as session:
            if (missing := count - session.available()) > 0:
                session.prepare(missing)

    def meet(self) -> None:
        """Say hello and goodbye: both sides compare what they have. Raises PiError."""
        with self._open(prepares=False):
            pass

    def run(self, arrivals: Iterable[float], start_s: float) -> None:
        """Make a request at each of these times after ``start_s`` (CLOCK_MONOTONIC), or as soon after as it can."""
        for arrival_s in arrivals:
            time.sleep(max(0.0, start_s + arrival_s - time.monotonic()))
            self._busy, begin_s = 0, time.monotonic() - start_s
            picture = len(self.requests) % len(self._network.pictures)
            state = self.infer(picture, counted=self._load.counted)
            end_s = time.monotonic() - start_s
            told = {"arrival_s": arrival_s, "begin_s": begin_s, "end_s": end_s, "state": state, "told_busy": self._busy}
            self.requests.append({"client": self.index, **told})

    def infer(self, picture: int, *, counted: bool) -> str:
        """What becomes of a picture: served, wrong, busy or the name of an error; ``counted``: prepared for it."""

        def ask() -> str:
            try:
                logits = self._infer(picture, counted=counted)
            except _NoPlaceToPrepareError as error:  # a session that says so beforehand waits for one
                logits = self._infer(picture, counted=True, ticket=error.busy.ticket)
            return "served" if self._network.reference.error(picture, logits).bounded else "wrong"

        return outcome(ask)

    def _infer(self, picture: int, *, counted: bool, ticket: str = "") -> NDArray[np.float64]:
        with self._open(prepares=counted, ticket=ticket) as session:
            if counted or not session.available():
                try:
                    session.prepare(1)
                except BusyError as busy:
                    raise busy if counted else _NoPlaceToPrepareError(busy) from busy
            return session.infer(self._network.pictures[picture : picture + 1])[0]

    def _open(self, *, prepares: bool, ticket: str = "") -> ClientSession:
        session = ClientSession(self._endpoint, self._config, self._network.artifact, prepares=prepares, ticket=ticket)
        self.entered_s = time.monotonic()
        return session

    def _told(self, busy: BusyError) -> None:
        self._busy += 1


def outcome(ask: Callable[[], str]) -> str:
    """What a request returns, or what its error is called."""
    try:
        return ask()
    except BusyError:
        return "busy"
    except PiError as error:
        return type(error).__name__


class Memory(NamedTuple):
    """Of a server and its workers at a time since the start: bytes that are resident, shared pages once; processes."""

    at_s: float
    nbytes: int
    processes: int


@contextmanager
def alongside(look: Callable[[threading.Event], None]) -> Iterator[None]:
    """``look`` in a thread while the block runs; it ends when the event that it is given is set."""
    ended = threading.Event()
    thread = threading.Thread(target=look, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def watched(server: RunningProgram) -> Iterator[list[Memory]]:
    """The server's memory while the block runs, twice a second."""
    found, start_s = list[Memory](), time.monotonic()

    def look(ended: threading.Event) -> None:
        while not ended.wait(_SAMPLE_S):
            found.append(Memory(round(time.monotonic() - start_s, 2), *_memory(server.pid)))

    with alongside(look):
        yield found


def _memory(pid: int) -> tuple[int, int]:
    total, count = 0, 0
    try:
        parent = psutil.Process(pid)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    for process in tree:
        try:
            total += process.memory_full_info().pss
            count += 1
        except psutil.Error:
            continue  # it ended meanwhile
    return total, count


def put_under(load: Load, network: Network, server: RunningProgram, dealer: str, folder: Path) -> Sample:
    """Run ``load`` against ``server``: every request, the server's memory, and what they add up to. Raises PiError."""
    clients = [Client(index, load, network, server.address, dealer, folder) for index in range(load.clients)]
    streams = _scheduled(load, clients) if load.rate_per_s else None
    start_s = time.monotonic() + 0.2
    if streams is None:
        streams = [_one_after_the_other(start_s, load.duration_s) for _ in clients]
    with watched(server) as memory:
        threads = [
            threading.Thread(target=client.run, args=(stream, start_s))
            for client, stream in zip(clients, streams, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    requests = sorted((found for client in clients for found in client.requests), key=lambda found: found["arrival_s"])
    return {"kind": "load", **_about(load), **summary(requests, load), "memory": memory, "requests": requests}


def _scheduled(load: Load, clients: Sequence[Client]) -> list[Iterable[float]]:
    """Arrivals of each client; what they need is prepared unless that counts."""
    streams = split(poisson_schedule(load.rate_per_s or 0.0, load.duration_s, load.seed), load.clients, load.seed)
    if not load.counted:
        for client, stream in zip(clients, streams, strict=True):
            if stream:
                client.prepare(len(stream))
    return list[Iterable[float]](streams)


def _one_after_the_other(start_s: float, duration_s: float) -> Iterator[float]:
    """Now, whenever that is asked, until the time is over."""
    while (now_s := max(0.0, time.monotonic() - start_s)) < duration_s:
        yield now_s


def _about(load: Load) -> dict[str, Any]:
    return {name: getattr(load, name) for name in Load.__dataclass_fields__}


def summary(requests: Sequence[Sample], load: Load) -> Sample:
    """Percentiles of latency of what was served, states, throughput, and how often a client was told to wait."""
    latencies = [found["end_s"] - found["arrival_s"] for found in requests if found["state"] == "served"]
    states = Counter(found["state"] for found in requests)
    lasted_s = max([load.duration_s, *(found["end_s"] for found in requests)])
    return {
        "states": dict(states),
        "served_per_s": states["served"] / lasted_s,
        "told_busy": sum(found["told_busy"] for found in requests),
        "latency_ms": {f"p{share}": 1000 * percentile(latencies, share / 100) for share in PERCENTILES},
        "mean_ms": 1000 * float(np.mean(latencies)) if latencies else 0.0,
    }
