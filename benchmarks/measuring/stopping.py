"""A server that is probed under load and then stopped by SIGTERM: what the probes say, and what becomes of sessions.

A session that had its place when the signal came could end within the time that a server leaves it (--drain), so it
must. Who comes later is told that nobody serves.
"""

import http.client
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from measuring.documents import say
from measuring.load import Client, Load, alongside
from measuring.processes import Site
from measuring.programs import start_server
from measuring.question import Sample
from measuring.sessions import Network
from measuring.steady import claim

_NO_DEALER: Final = "127.0.0.1:1"
_DRAIN_S: Final = 30.0
_PROBE_S: Final = 0.5
_ANSWER_S: Final = 10.0
_LATER: Final = ("PeerUnavailableError",)
_SERVICES: Final = ("liveness", "readiness")
_PATHS: Final = ("/livez", "/readyz")


def run_stops(path: Path, folder: Path, load: Load, rounds: int) -> Sample:
    """Each round a server, ``load`` on it for its duration, probes, and SIGTERM. Raises PiError."""
    network = Network(path, 16, folder)
    _ = network.reference  # before threads ask for it
    found = []
    for number in range(rounds):
        found.append(_round(path, network, folder / f"round-{number}", load))
        say(f"round {number + 1}: {found[-1]}")
    sample = {"kind": "stop", "backend": load.backend, "clients": load.clients, "load_s": load.duration_s}
    return sample | {"drain_s": _DRAIN_S, "rounds": found, "claims": claims(found)}


def _round(path: Path, network: Network, folder: Path, load: Load) -> Sample:
    options = ("--health", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--drain", f"{_DRAIN_S:g}")
    site, ended = Site(pinned=False), threading.Event()
    with start_server(
        path, _NO_DEALER, folder, backends=(load.backend,), max_sessions=4, site=site, options=options
    ) as server:
        place = (network, server.address, _NO_DEALER, folder)
        clients = [Client(index, load, *place) for index in range(load.clients)]
        sessions: list[Session] = []
        threads = [threading.Thread(target=_ask, args=(client, ended, sessions)) for client in clients]
        for thread in threads:
            thread.start()
        with probed(folder / "pi-server.log") as probes:
            time.sleep(load.duration_s)
        stopped_s = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        ended.set()
        code, lasted_s = psutil.Process(server.pid).wait(), time.monotonic() - stopped_s
        for thread in threads:
            thread.join()
    return {
        "probes": dict(Counter(probes)),
        **sorted_out(sessions, stopped_s),
        "exit_code": code,
        "stopped_after_s": round(lasted_s, 1),
        "cut_off": _cut_off((folder / "pi-server.log").read_text()),
    }


Session = tuple[float, float, str]
"""When it had its place and when it ended, CLOCK_MONOTONIC seconds, and what became of it."""


def _ask(client: Client, ended: threading.Event, sessions: list[Session]) -> None:
    """One session after the other until the server is stopped."""
    count = 0
    while not ended.is_set():
        client.entered_s, count = 0.0, count + 1
        state = client.infer(count % 16, counted=True)
        sessions.append((client.entered_s, time.monotonic(), state))


def sorted_out(sessions: Sequence[Session], stopped_s: float) -> Sample:
    """States of sessions that were over when the signal came, that had a place then, and of all others."""
    found = {"before": Counter[str](), "within": Counter[str](), "after": Counter[str]()}
    for entered_s, end_s, state in sessions:
        when = "before" if end_s < stopped_s else "within" if 0 < entered_s < stopped_s else "after"
        found[when][state] += 1
    return {when: dict(states) for when, states in found.items()}


@contextmanager
def probed(log: Path) -> Iterator[list[str]]:
    """What every probe says while the block runs: its name and what it answered."""
    found = list[str]()
    text = log.read_text()
    health, metrics = (re.search(rf"{what} at (\S+)", text) for what in ("health", "metrics"))
    if health is None or metrics is None:
        raise ValueError("expected a server with --health and --metrics")

    def look(ended: threading.Event) -> None:
        with grpc.insecure_channel(health[1]) as channel:
            while True:
                found.extend(f"{path} {_get(metrics[1], path)}" for path in _PATHS)
                found.extend(f"{service} {_check(channel, service)}" for service in _SERVICES)
                if ended.wait(_PROBE_S):
                    return

    with grpc.insecure_channel(health[1]) as channel:
        while _check(channel, "readiness") != "SERVING":  # as a startup probe does: it is looked at once a second
            time.sleep(_PROBE_S)
    with alongside(look):
        yield found


def _check(channel: grpc.Channel, service: str) -> str:
    request = health_pb2.HealthCheckRequest(service=service)
    status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_ANSWER_S).status
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


def _get(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _cut_off(log: str) -> int:
    found = re.search(r"stopped: (\d+) sessions were cut off", log)
    return int(found[1]) if found else -1


def claims(rounds: Sequence[Sample]) -> list[Sample]:
    """What the numbers say."""
    probes, within, after = (Counter[str]() for _ in range(3))
    for one in rounds:
        probes.update(one["probes"])
        within.update(one["within"])
        after.update(one["after"])
    red = sum(count for said, count in probes.items() if not said.endswith((" 200", " SERVING")))
    lost = sum(count for state, count in within.items() if state != "served")
    unlike = {state: count for state, count in after.items() if state not in ("served", *_LATER)}
    codes, cut = {one["exit_code"] for one in rounds}, sum(one["cut_off"] for one in rounds)
    return [
        claim("every probe is green under load", f"{red} of {probes.total()} were not", red == 0 < probes.total()),
        claim(
            "SIGTERM loses no session that has a place", f"{lost} of {within.total()} lost", lost == 0 < within.total()
        ),
        claim("who comes later is told that nobody serves", dict(after), not unlike),
        claim(
            "the server ends with code 0, no session cut off",
            f"codes {sorted(codes)}, {cut} cut off",
            codes == {0} and cut == 0,
        ),
    ]
