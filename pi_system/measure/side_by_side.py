"""A few networks with several backends over several links, all of them in turn within every repetition.

Every network has a server that allows every backend; every pair of backend and link has a session with a client
process and a worker process of its own, pinned to its party's core, one thread each, as in latency.py. Here sessions
open and get their offline material at the same time (nothing of that is measured), then all of them have their turn
within each repetition: what slows the machine for a while slows all of them, over every link.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.backends.registry import find_backend
from pi_system.channel.shaped import parse_link
from pi_system.errors import ArtifactDigestError
from pi_system.export.random import random_pictures
from pi_system.measure.latency import THREADS, WARMUP
from pi_system.measure.measured_client import ClientTask, MeasuredClient
from pi_system.measure.processes import RunningProgram, party_cores, start_dealer, start_server
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.measure.reference import Reference
from pi_system.measure.runs import counts
from pi_system.rpc.client_session import OfflineCost, OnlineCost

__all__ = ["Pair", "Sample", "measure_side_by_side"]

Sample = dict[str, Any]
"""One measured pair of backend and link as it stands in a question's JSON: ``network``, its counts ``relus``,
``relu_layers`` and ``macs``, ``backend``, ``link``, ``online_ms`` (one a repetition, in order), ``rounds``,
``sent_bytes`` and ``received_bytes`` (of the client, one inference), ``offline_bytes`` (one inference, with what is
sent once a model spread over all) and ``max_abs_error`` of the logits."""

_TIMEOUT_S: Final = 3600.0
_AT_ONCE: Final = 4
"""Sessions that open at the same time: more would only wait for the cores."""

Pair = tuple[str, str]
"""A backend and a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A network, the pictures of its calls and what is expected of them."""

    path: Path
    artifact: Artifact
    reference: Reference
    pictures: Path


@dataclass(slots=True, kw_only=True)
class _Session:
    served: _Served
    pair: Pair
    client: MeasuredClient
    offline: OfflineCost
    online: list[OnlineCost] = field(default_factory=list)
    max_abs_error: float = 0.0

    def call(self, index: int) -> str:
        """Run call ``index``; returns a line about it."""
        inference = self.client.infer(index, 1)
        self.online.append(inference.cost)
        error = self.served.reference.error(index, inference.logits)
        self.max_abs_error = max(self.max_abs_error, error.absolute)
        return f"{self.served.artifact.public.name} {' '.join(self.pair)}: {inference.cost.online_ms:.1f} ms"


def measure_side_by_side(
    networks: Sequence[str],
    pairs: Sequence[Pair],
    repeat: int,
    cache: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Sample]:
    """Measure every network with every pair.

    Args:
        networks: see random_artifacts.py. Every pair of every one of them has its processes open all the time.
        pairs: backend and link.
        repeat: calls counted of each, after one that is not; every call has its own picture.
        cache: of artifacts.
        progress: called with a line about every call.

    Raises:
        ConfigError: a network, a backend or a link is unknown.
        PeerUnavailableError: a process failed; the message has the end of its log.
    """
    for backend, link in pairs:
        find_backend(backend)
        parse_link(link)
    calls = WARMUP + repeat
    with tempfile.TemporaryDirectory(prefix="pi-question-") as folder:
        served = [_serve(name, calls, cache, Path(folder) / f"{place}.npy") for place, name in enumerate(networks)]
        progress(f"{', '.join(networks)}: opening {len(pairs) * len(networks)} sessions")
        with _sessions(served, pairs, calls, Path(folder)) as sessions:
            for index in range(calls):
                for session in sessions:
                    progress(session.call(index))
    return [_sample(session, calls) for session in sessions]


def _serve(name: str, calls: int, cache: Path, pictures: Path) -> _Served:
    path = cached_artifact(name, cache)
    artifact = load(path)
    preprocess = artifact.public.preprocess
    drawn = random_pictures((preprocess.channels, preprocess.height, preprocess.width), calls, SEED)
    np.save(pictures, drawn)
    return _Served(path=path, artifact=artifact, reference=Reference(artifact, drawn), pictures=pictures)


@contextmanager
def _sessions(served: list[_Served], pairs: Sequence[Pair], calls: int, folder: Path) -> Iterator[list[_Session]]:
    """Open sessions, each with material for ``calls`` inferences."""
    cores = party_cores()
    with ExitStack() as stack:
        dealer = stack.enter_context(start_dealer(folder)).address

        def start_network(network: _Served) -> RunningProgram:
            return stack.enter_context(
                start_server(
                    network.path,
                    dealer,
                    folder / network.pictures.stem,
                    backends=tuple(dict.fromkeys(backend for backend, _ in pairs)),
                    max_sessions=len(pairs),
                    timeout_s=_TIMEOUT_S,
                    core=cores["server"],
                    threads=THREADS,
                )
            )

        def start(network: _Served, server: RunningProgram, pair: Pair) -> _Session:
            place = folder / network.pictures.stem / "-".join(pair).replace(",", "-")
            task = ClientTask(
                server=server.address,
                dealer=dealer,
                backend=pair[0],
                link=pair[1],
                store=place,
                pictures=network.pictures,
                timeout_s=_TIMEOUT_S,
            )
            log = place.with_suffix(".log")
            client = stack.enter_context(MeasuredClient(task, log=log, core=cores["client"], threads=THREADS))
            if client.digest != network.artifact.public.digest:
                raise ArtifactDigestError("artifact: expected the client to see the server's, found another")
            return _Session(served=network, pair=pair, client=client, offline=client.prepare(calls))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                servers = list(pool.map(start_network, served))
                started = [
                    pool.submit(start, network, server, pair)
                    for network, server in zip(served, servers, strict=True)
                    for pair in pairs
                ]
                sessions = [future.result() for future in started]
                yield sessions
                list(pool.map(lambda session: session.client.close(), sessions))
            finally:
                pool.shutdown(cancel_futures=True)


def _sample(session: _Session, calls: int) -> Sample:
    last = session.online[-1]
    network = counts(session.served.artifact)
    return {
        **network.model_dump(include={"network", "relus", "relu_layers", "macs"}),
        "backend": session.pair[0],
        "link": session.pair[1],
        "online_ms": [cost.online_ms for cost in session.online[WARMUP:]],
        "rounds": last.rounds,
        "sent_bytes": last.client_to_server_bytes,
        "received_bytes": last.server_to_client_bytes,
        "offline_bytes": session.offline.offline_bytes // calls,
        "max_abs_error": session.max_abs_error,
    }
