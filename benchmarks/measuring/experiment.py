"""The arrival-rate experiment: a real dealer, server and clients on loopback, requests from a seeded schedule.

Every client keeps a pool of prepared inferences filled while it serves; see client_process.py. Server and clients are
pinned to one core each, the dealer is not. A rate is tried for ``duration_s`` with a pool of one inference a client
at the start, so that what it can borrow from before is one inference a client.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from measuring.arrivals import Request, latencies_s, next_rate, percentile, poisson_schedule, queue_lengths, split
from measuring.processes import start_dealer, start_server
from measuring.question import Sample
from measuring.sessions import Network, Session

from pi_system.backends.registry import find_backend
from pi_system.rpc.envelope import ID_BYTES

START_LEVEL: Final = 1
_LEAD_S: Final = 0.2
"""From the command to the first possible arrival: longer than a line takes to be read."""
_CLOSED_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
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


def try_rate(running: Fleet, plan: Plan, rate_per_s: float, seed: int) -> Sample:
    """One rate for ``plan.duration_s``: a raw sample with every request. Raises PeerUnavailableError."""
    running.level(START_LEVEL)
    streams = split(poisson_schedule(rate_per_s, plan.duration_s, seed), plan.clients, seed)
    start_s = time.monotonic() + _LEAD_S
    until_s = start_s + plan.duration_s + 0.5 * plan.bound_ms / 1000
    for station, stream in zip(running.stations, streams, strict=True):
        if station.filling is not None:
            station.filling.tell({"fill": plan.pool, "until_s": until_s})
        own = plan.pool if station.filling is None else None
        common = {"start_s": start_s, "until_s": until_s, "queue_limit": plan.queue_limit}
        station.serving.tell({"serve": stream, "fill": own, **common})
    return {
        "kind": "arrivals",
        **_about(running, plan),
        "rate_per_s": rate_per_s,
        "duration_s": plan.duration_s,
        "bound_ms": plan.bound_ms,
        "pool": plan.pool,
        "pool_at_start": START_LEVEL,
        "seed": seed,
        **_collect(running, plan),
    }


def online_only(running: Fleet, plan: Plan) -> Sample:
    """Online times with all clients at work, material prepared beforehand: ``plan.closed`` requests each at once."""
    running.level(START_LEVEL)  # what is made once a model is made here
    offline_ms = running.level(START_LEVEL + plan.closed)
    start_s = time.monotonic() + _LEAD_S
    for station in running.stations:
        command = {"serve": [0.0] * plan.closed, "start_s": start_s, "until_s": start_s + _CLOSED_S}
        station.serving.tell({**command, "queue_limit": plan.closed + 1, "fill": None})
    requests = [request for station in running.stations for request in station.serving.answer()["requests"]]
    return {
        "kind": "online_only",
        **_about(running, plan),
        "offline_ms": offline_ms,
        "service_ms": [1000 * (r["end_s"] - r["begin_s"]) for r in requests],
        "online_ms": [r["online_ms"] for r in requests],
    }


def find_rates(running: Fleet, plan: Plan, first: float) -> list[Sample]:
    """Try rates from ``first`` (1/s) to below and above saturation, then repeat the two around it; a sample a trial."""
    samples, held = list[Sample](), dict[float, bool]()
    while (rate := next_rate(held, first, factor=plan.factor, refine=plan.refine, limit=plan.limit)) is not None:
        samples.append(try_rate(running, plan, rate, seed=1 + len(samples)))
        held[rate] = percentile(latencies_s(samples[-1])) <= plan.bound_ms / 1000
    rates = sorted(held)
    broken = next((index for index, rate in enumerate(rates) if not held[rate]), len(rates))
    around = rates[max(0, broken - 1) : broken + 1]
    for _ in range(1, plan.repeat):
        samples += [try_rate(running, plan, rate, seed=1 + len(samples) + k) for k, rate in enumerate(around)]
    return samples


def _about(running: Fleet, plan: Plan) -> Sample:
    return {
        "network": running.network.name,
        "backend": running.backend,
        "link": "loopback",
        "clients": plan.clients,
        "filled_by": "another process" if running.stations[0].filling else "the serving process, by turns",
    }


def _collect(running: Fleet, plan: Plan) -> Sample:
    """Answers of all clients, their fillers stopped: requests in order of arrival, and what they add up to."""
    fields: list[Sample] = []
    offline_ms: list[float] = []
    queued: list[int] = []
    error = 0.0
    for index, station in enumerate(running.stations):
        answer = station.serving.answer()
        offline_ms += answer["offline_ms"]
        queued += queue_lengths([Request.read(request) for request in answer["requests"]])
        for request in answer["requests"]:
            logits = request.pop("logits", None)
            picture = request.pop("picture", 0)
            if logits is not None:
                error = max(error, running.network.reference.error(picture, np.array([logits])).absolute)
            fields.append({**request, "client": index})
    for station in running.stations:
        if station.filling is not None:
            station.filling.tell({})
            offline_ms += station.filling.answer()["offline_ms"]
    states = [request["state"] for request in fields]
    late = sum(Request.read(request).latency_s > plan.bound_ms / 1000 for request in fields)
    return {
        "requests": sorted(fields, key=lambda request: float(request["arrival_s"])),
        "served": states.count("served"),
        "refused": states.count("refused"),
        "unfinished": states.count("unfinished"),
        "late": late - states.count("refused") - states.count("unfinished"),
        "queue_max": max(queued, default=0),
        "queue_mean": sum(queued) / max(1, len(queued)),
        "offline_ms": offline_ms,
        "max_abs_error": error,
    }
