"""The arrival-rate experiment: a real dealer, server and clients on loopback, requests from a seeded schedule.

Every client keeps a pool of prepared inferences filled while it serves; see client_process.py. Server and clients are
pinned to one core each, the dealer is not. A rate is tried for ``duration_s`` with a pool of one inference a client
at the start, so that what it can borrow from before is one inference a client.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from measuring.arrivals import latencies_s, next_rate, percentile, poisson_schedule, queue_lengths, split
from measuring.programs import start_dealer, start_server
from measuring.question import Sample
from measuring.sessions import Network, Session

from pi_system.backends.registry import find_backend
from pi_system.rpc.envelope import ID_BYTES

START_LEVEL: Final = 1
_LEAD_S: Final = 0.2
"""From the command to the first possible arrival: longer than a line takes to be read."""
_CLOSED_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSearch:
    """How rates are tried: each for ``duration_s``, ``clients`` at once, ``queue_limit`` requests waiting at each.

    ``pool``: prepared inferences that a client keeps; ``bound_ms``: on the 95th percentile of latency; ``factor``,
    ``refine``, ``limit``: see ``next_rate``; ``repeat``: times that the two rates around saturation are tried;
    ``closed``: requests a client for the online times without offline work.
    """

    clients: int = 2
    pool: int = 4
    queue_limit: int = 64
    bound_ms: float = 1000.0
    duration_s: float
    factor: float
    refine: int
    limit: int
    repeat: int
    closed: int


class Station(NamedTuple):
    """One client: the process that serves, and the one that fills where material is on disk."""

    serving: Session
    filling: Session | None


class Fleet(NamedTuple):
    """All clients of one server, ready to serve."""

    network: Network
    backend: str
    stations: tuple[Station, ...]

    def level(self, count: int) -> list[float]:
        """Have exactly ``count`` inferences prepared at every client; the ms of each one prepared for that."""
        return [ms for station in self.stations for ms in station.serving.ask({"level": count})["offline_ms"]]


@contextmanager
def fleet(network: Network, backend: str, clients: int) -> Iterator[Fleet]:
    """Dealer, server and ``clients`` clients of ``backend``; all of them end with the block."""
    folder, durable = network.file.parent, find_backend(backend).DURABLE
    with ExitStack() as stack:
        dealer = stack.enter_context(start_dealer(folder)).address
        server = stack.enter_context(
            start_server(network.path, dealer, folder, backends=(backend,), max_sessions=2 * clients)
        )

        def start(role: str, client_id: str) -> Session:
            return stack.enter_context(Session(network, backend, server, dealer, name=role, client_id=client_id))

        stations = []
        for index, client_id in enumerate(os.urandom(ID_BYTES).hex() for _ in range(clients)):
            serving = start(f"serving-{index}", client_id)
            stations.append(Station(serving, start(f"filling-{index}", client_id) if durable else None))
        yield Fleet(network, backend, tuple(stations))


def try_rate(running: Fleet, search: RateSearch, rate_per_s: float, seed: int) -> Sample:
    """One rate for ``search.duration_s``: a raw sample with every request. Raises PeerUnavailableError."""
    running.level(START_LEVEL)
    streams = split(poisson_schedule(rate_per_s, search.duration_s, seed), search.clients, seed)
    start_s = time.monotonic() + _LEAD_S
    until_s = start_s + search.duration_s + 0.5 * search.bound_ms / 1000
    for station, stream in zip(running.stations, streams, strict=True):
        if station.filling is not None:
            station.filling.tell({"fill": search.pool, "until_s": until_s})
        own = search.pool if station.filling is None else None
        common = {"start_s": start_s, "until_s": until_s, "queue_limit": search.queue_limit}
        station.serving.tell({"serve": stream, "fill": own, **common})
    return {
        "kind": "arrivals",
        **_about(running, search),
        "rate_per_s": rate_per_s,
        "duration_s": search.duration_s,
        "bound_ms": search.bound_ms,
        "pool": search.pool,
        "pool_at_start": START_LEVEL,
        "seed": seed,
        **_collect(running, search),
    }


def online_only(running: Fleet, search: RateSearch) -> Sample:
    """Online times with all clients at work, material prepared beforehand: ``search.closed`` requests each at once."""
    running.level(START_LEVEL)  # what is made once a model is made here
    offline_ms = running.level(START_LEVEL + search.closed)
    start_s = time.monotonic() + _LEAD_S
    for station in running.stations:
        command = {"serve": [0.0] * search.closed, "start_s": start_s, "until_s": start_s + _CLOSED_S}
        station.serving.tell({**command, "queue_limit": search.closed + 1, "fill": None})
    requests = [request for station in running.stations for request in station.serving.answer()["requests"]]
    return {
        "kind": "online_only",
        **_about(running, search),
        "offline_ms": offline_ms,
        "service_ms": [1000 * (r["end_s"] - r["begin_s"]) for r in requests],
        "online_ms": [r["online_ms"] for r in requests],
    }


def find_rates(running: Fleet, search: RateSearch, first: float) -> list[Sample]:
    """Try rates from ``first`` (1/s) to below and above saturation, then repeat the two around it; a sample a trial."""
    samples, held = list[Sample](), dict[float, bool]()
    while (rate := next_rate(held, first, factor=search.factor, refine=search.refine, limit=search.limit)) is not None:
        samples.append(try_rate(running, search, rate, seed=1 + len(samples)))
        held[rate] = percentile(latencies_s(samples[-1])) <= search.bound_ms / 1000
    rates = sorted(held)
    broken = next((index for index, rate in enumerate(rates) if not held[rate]), len(rates))
    around = rates[max(0, broken - 1) : broken + 1]
    for _ in range(1, search.repeat):
        samples += [try_rate(running, search, rate, seed=1 + len(samples) + k) for k, rate in enumerate(around)]
    return samples


def _about(running: Fleet, search: RateSearch) -> Sample:
    return {
        "network": running.network.name,
        "backend": running.backend,
        "link": "loopback",
        "clients": search.clients,
        "filled_by": "another process" if running.stations[0].filling else "the serving process, by turns",
    }


def _collect(running: Fleet, search: RateSearch) -> Sample:
    """Answers of all clients, their fillers stopped: requests in order of arrival, and what they add up to."""
    fields, offline_ms, queued, error = list[Sample](), list[float](), list[int](), 0.0
    for index, station in enumerate(running.stations):
        answer = station.serving.answer()
        offline_ms += answer["offline_ms"]
        queued += queue_lengths(answer["requests"])
        for request in answer["requests"]:
            logits, picture = request.pop("logits", None), request.pop("picture", 0)
            if logits is not None:
                error = max(error, running.network.error("", picture, np.array(logits)))
            fields.append({**request, "client": index})
    for filling in filter(None, (station.filling for station in running.stations)):
        filling.tell({})
        offline_ms += filling.answer()["offline_ms"]
    states = Counter(request["state"] for request in fields)
    lost = states["refused"] + states["unfinished"]
    late = sum(latency > search.bound_ms / 1000 for latency in latencies_s({"requests": fields})) - lost
    return {
        "requests": sorted(fields, key=lambda request: float(request["arrival_s"])),
        **{state: states[state] for state in ("served", "refused", "unfinished")},
        "late": late,
        "queue_max": max(queued, default=0),
        "queue_mean": sum(queued) / max(1, len(queued)),
        "offline_ms": offline_ms,
        "max_abs_error": error,
    }
