"""The arrival-rate experiment: a real dealer, server and clients on loopback, requests from a seeded schedule.

Every client keeps a pool of prepared inferences filled while it serves; see q04_client.py. Server and clients are
pinned to one core each, the dealer is not. A rate is tried for ``duration_s`` with a pool of one inference a client
at the start, so that what it can borrow from before is one inference a client.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parts.q04_arrivals import Request, next_rate, percentile, poisson_schedule, queue_lengths, split
from parts.q04_client import ServingTask

from pi_system.artifact.model import Artifact
from pi_system.backends.registry import find_backend
from pi_system.measure import party_cores, start_dealer, start_server
from pi_system.measure.line_process import LineProcess
from pi_system.measure.reference import Reference
from pi_system.rpc.envelope import ID_BYTES

__all__ = ["Fleet", "Plan", "find_rates", "fleet", "online_only", "try_rate"]

PROGRAM = Path(__file__).resolve().parent / "q04_client.py"
START_LEVEL = 1
_LEAD_S = 0.2
"""From the command to the first possible arrival: longer than a line takes to be read."""
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How rates are tried.

    Attributes:
        clients: at once.
        pool: prepared inferences that a client keeps.
        queue_limit: requests that may wait at a client; more are refused.
        bound_ms: on the 95th percentile of latency.
        duration_s: of the arrivals at one rate; half the bound more is waited for the last ones.
        factor: between rates on the way out.
        refine: halvings of the gap around saturation.
        limit: of different rates.
        repeat: times that the two rates around saturation are tried.
        closed: requests a client for the online times without offline work.
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


@dataclass(frozen=True, slots=True)
class Station:
    """One client: the process that serves, and the one that fills where material is on disk."""

    serving: LineProcess
    filling: LineProcess | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All clients of one server, ready to serve."""

    network: str
    backend: str
    stations: tuple[Station, ...]
    reference: Reference

    def level(self, count: int) -> list[float]:
        """Have exactly ``count`` inferences prepared at every client; the ms of each one prepared for that."""
        return [ms for station in self.stations for ms in station.serving.ask({"level": count})["offline_ms"]]


@contextmanager
def fleet(
    artifact: Artifact, path: Path, pictures: NDArray[np.float32], backend: str, clients: int, folder: Path
) -> Iterator[Fleet]:
    """Dealer, server and ``clients`` clients of ``backend``; all of them end with the block.

    Raises:
        PeerUnavailableError: a process failed; the message has the end of its log.
    """
    cores, durable = party_cores(), find_backend(backend).DURABLE
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "pictures.npy", pictures)
    with ExitStack() as stack:
        dealer = stack.enter_context(start_dealer(folder))
        server = stack.enter_context(
            start_server(
                path,
                dealer.address,
                folder,
                backends=(backend,),
                max_sessions=2 * clients,
                timeout_s=_TIMEOUT_S,
                core=cores["server"],
                threads=1,
            )
        )

        def start(name: str, client_id: str) -> LineProcess:
            task = ServingTask(
                server=server.address,
                dealer=dealer.address,
                backend=backend,
                link="loopback",
                store=folder / f"client-{client_id}",
                pictures=folder / "pictures.npy",
                timeout_s=_TIMEOUT_S,
                client_id=client_id,
            )
            command = [sys.executable, "-u", str(PROGRAM), task.model_dump_json()]
            process = LineProcess(name, command, log=folder / f"{name}.log", core=cores["client"])
            stack.callback(process.close)
            process.answer()
            return process

        stations = []
        for index in range(clients):
            client_id = os.urandom(ID_BYTES).hex()
            serving = start(f"serving-{index}", client_id)
            stations.append(Station(serving, start(f"filling-{index}", client_id) if durable else None))
        yield Fleet(
            network=artifact.public.name,
            backend=backend,
            stations=tuple(stations),
            reference=Reference(artifact, pictures),
        )


def try_rate(running: Fleet, plan: Plan, rate_per_s: float, seed: int) -> dict[str, Any]:
    """One rate for ``plan.duration_s``: a raw sample with every request.

    Raises:
        PeerUnavailableError: a process failed.
    """
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


def online_only(running: Fleet, plan: Plan) -> dict[str, Any]:
    """Online times with all clients at work, material prepared beforehand: ``plan.closed`` requests each at once."""
    running.level(START_LEVEL)  # what is made once a model is made here
    offline_ms = running.level(START_LEVEL + plan.closed)
    start_s = time.monotonic() + _LEAD_S
    for station in running.stations:
        command = {"serve": [0.0] * plan.closed, "start_s": start_s, "until_s": start_s + _TIMEOUT_S}
        station.serving.tell({**command, "queue_limit": plan.closed + 1, "fill": None})
    answers = [station.serving.answer() for station in running.stations]
    requests = [request for answer in answers for request in answer["requests"]]
    return {
        "kind": "online_only",
        **_about(running, plan),
        "offline_ms": offline_ms,
        "service_ms": [1000 * (r["end_s"] - r["begin_s"]) for r in requests],
        "online_ms": [r["online_ms"] for r in requests],
    }


def find_rates(running: Fleet, plan: Plan, first: float) -> list[dict[str, Any]]:
    """Try rates from ``first`` (1/s) to below and above saturation, then repeat the two around it; a sample a trial."""
    samples, held = list[dict[str, Any]](), dict[float, bool]()
    step = {"factor": plan.factor, "refine": plan.refine, "limit": plan.limit}
    while (rate := next_rate(held, first, **step)) is not None:  # type: ignore[arg-type]
        samples.append(try_rate(running, plan, rate, seed=1 + len(samples)))
        held[rate] = percentile(latencies_s(samples[-1])) <= plan.bound_ms / 1000
    around = _around(held)
    for _ in range(1, plan.repeat):
        samples += [try_rate(running, plan, rate, seed=1 + len(samples) + k) for k, rate in enumerate(around)]
    return samples


def latencies_s(sample: dict[str, Any]) -> list[float]:
    """Of all requests of a trial; infinite for those without a result."""
    return [Request.read(request).latency_s for request in sample["requests"]]


def _around(held: dict[float, bool]) -> list[float]:
    rates = sorted(held)
    broken = next((index for index, rate in enumerate(rates) if not held[rate]), len(rates))
    return rates[max(0, broken - 1) : broken + 1]


def _about(running: Fleet, plan: Plan) -> dict[str, Any]:
    return {
        "network": running.network,
        "backend": running.backend,
        "link": "loopback",
        "clients": plan.clients,
        "filled_by": "another process" if running.stations[0].filling else "the serving process, by turns",
    }


def _collect(running: Fleet, plan: Plan) -> dict[str, Any]:
    """Answers of all clients, their fillers stopped: requests in order of arrival, and what they add up to."""
    fields: list[dict[str, Any]] = []
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
                error = max(error, running.reference.error(picture, np.array([logits])).absolute)
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
