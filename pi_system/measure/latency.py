"""Online latency of several backends over one link, taken side by side.

Every backend has its own server and client process, each pinned to its party's core. In every repetition each
backend in turn prepares and runs one call, and plaintext runs on the client's core: whatever slows the machine down
for a while slows all of them. The first repetition warms up and is not counted; its offline phase includes what is
sent once a model.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.model import Artifact
from pi_system.channel.shaped import parse_link
from pi_system.errors import ArtifactDigestError, InvariantError
from pi_system.measure.floor import floor_ms
from pi_system.measure.measured_client import ClientTask, MeasuredClient
from pi_system.measure.memory import folder_bytes, peak_of_descendants_bytes
from pi_system.measure.processes import RunningProgram, party_cores, start_dealer, start_server
from pi_system.measure.reference import PlaintextTime, Reference
from pi_system.measure.schema import LatencyResult, OnlineBytes, PartyBytes, Revealed, Timing
from pi_system.program import relu_count
from pi_system.rpc.client_session import OfflineCost, OnlineCost

__all__ = ["THREADS", "WARMUP", "LatencyTask", "measure_link"]

THREADS: Final = 1
"""Of each party: one core each is what results are compared on."""
WARMUP: Final = 1
_TIMEOUT_S: Final = 3600.0
"""A session waits idle while the others have their turn, over slow links for minutes."""
_BASELINE: Final = "crypten"
"""CrypTen's backend differs from ours in two ways that matter here: its last place is not the fixed-point
interpreter's, and its rounds are exchanges in which both parties send at once, half a round trip each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTask:
    """One network over one link.

    Attributes:
        artifact: the network.
        artifact_path: its folder.
        pictures: float32 ((WARMUP + repeat) * batch, C, H, W), preprocessed: every call has new ones.
        backends: names in the registry.
        link: name or RATE_MBIT,RTT_MS.
        repeat: calls counted.
        batch: pictures a call.
        folder: private and empty, for stores and logs.
        reveals: what the server reveals; each with every backend. Logits are what backends are compared on.
    """

    artifact: Artifact
    artifact_path: Path
    pictures: NDArray[np.float32]
    backends: Sequence[str]
    link: str
    repeat: int
    batch: int
    folder: Path
    reveals: Sequence[Revealed] = ("logits",)


@dataclass(slots=True, kw_only=True)
class _Combination:
    """One backend at work: its processes and what was measured so far, the warm-up first."""

    backend: str
    reveal: Revealed
    server: RunningProgram
    client: MeasuredClient
    offline: list[OfflineCost] = field(default_factory=list)
    online: list[OnlineCost] = field(default_factory=list)
    storage: list[PartyBytes] = field(default_factory=list)
    max_abs_error: float = 0.0
    max_ulp_error: int = 0
    within_ulp_bound: bool = True

    def call(self, index: int, batch: int, reference: Reference) -> float:
        """Prepare and run call ``index``; returns its online ms."""
        before = self._stored()
        self.offline.append(self.client.prepare(batch))
        after = self._stored()
        self.storage.append(PartyBytes(server=after.server - before.server, client=after.client - before.client))
        inference = self.client.infer(index * batch, batch)
        self.online.append(inference.cost)
        compare = reference.label_error if self.reveal == "label" else reference.error
        error = compare(index * batch, inference.logits)
        self.max_abs_error = max(self.max_abs_error, error.absolute)
        self.max_ulp_error = max(self.max_ulp_error, error.ulps)
        self.within_ulp_bound &= error.bounded
        return inference.cost.online_ms

    def _stored(self) -> PartyBytes:
        return PartyBytes(server=folder_bytes(self.server.store), client=folder_bytes(self.client.store))

    def peak(self) -> PartyBytes:
        """Peak memory so far of the server's session process and of the client."""
        return PartyBytes(server=peak_of_descendants_bytes(self.server.pid), client=self.client.peak_memory_bytes)


def measure_link(task: LatencyTask, progress: Callable[[str, float], None]) -> list[LatencyResult]:
    """Run every backend of ``task``, in turn within each repetition.

    Args:
        task: what to run.
        progress: called with the backend and its online ms after every call.

    Raises:
        PeerUnavailableError: a process failed; the message has the end of its log.
    """
    cores = party_cores()
    reference = Reference(task.artifact, task.pictures)
    np.save(task.folder / "pictures.npy", task.pictures)
    plain: list[PlaintextTime] = []
    with ExitStack() as stack:
        dealer = stack.enter_context(start_dealer(task.folder))
        combinations = [
            stack.enter_context(_combination(task, name, reveal, dealer.address, cores))
            for name in task.backends
            for reveal in task.reveals
        ]
        for index in range(WARMUP + task.repeat):
            plain += reference.run_timed(index * task.batch, task.batch, cores["client"])
            for combination in combinations:
                progress(combination.backend, combination.call(index, task.batch, reference))
        return [_result(task, combination, plain) for combination in combinations]


@contextmanager
def _combination(
    task: LatencyTask, backend: str, reveal: Revealed, dealer: str, cores: dict[str, int]
) -> Iterator[_Combination]:
    folder = task.folder / f"{backend}-{reveal}"
    with start_server(
        task.artifact_path,
        dealer,
        folder,
        backends=(backend,),
        max_sessions=1,
        timeout_s=_TIMEOUT_S,
        reveal=reveal,
        core=cores["server"],
        threads=THREADS,
    ) as server:
        client_task = ClientTask(
            server=server.address,
            dealer=dealer,
            backend=backend,
            link=task.link,
            store=folder / "client-store",
            pictures=task.folder / "pictures.npy",
            timeout_s=_TIMEOUT_S,
        )
        log = folder / "client.log"
        with MeasuredClient(client_task, log=log, core=cores["client"], threads=THREADS) as client:
            if client.digest != task.artifact.public.digest:
                raise ArtifactDigestError("artifact: expected the client to see the server's, found another")
            yield _Combination(backend=backend, reveal=reveal, server=server, client=client)


def _result(task: LatencyTask, found: _Combination, plain: list[PlaintextTime]) -> LatencyResult:
    online, offline = found.online[WARMUP:], found.offline[WARMUP:]
    last, comparable = online[-1], found.backend != _BASELINE
    timing = Timing.of([cost.online_ms for cost in online])
    conv_ms = statistics.median(run.conv_ms for run in plain)
    floor = floor_ms(
        conv_ms,
        sent_bytes=last.client_to_server_bytes,
        received_bytes=last.server_to_client_bytes,
        round_trips=last.rounds if comparable else last.rounds / 2,
        link=parse_link(task.link),
    )
    relus = relu_count(task.artifact.public.graph)
    storage = _per_inference(found.storage[-1], task.batch)
    offline_ms = [cost.offline_ms / task.batch for cost in offline]
    peak = found.peak()
    if peak.server == 0:
        raise InvariantError(f"backend {found.backend}: expected a server process with a session, found none")
    return LatencyResult(
        network=task.artifact.public.name,
        backend=found.backend,
        link=task.link,
        batch=task.batch,
        reveal=found.reveal,
        online_ms=timing,
        online_rounds=last.rounds,
        online_bytes=OnlineBytes(
            client_to_server=last.client_to_server_bytes, server_to_client=last.server_to_client_bytes
        ),
        frame_bytes=last.frame_bytes,
        us_per_relu=_ratio(1000 * timing.median, relus * task.batch),
        bytes_per_relu=_ratio(last.client_to_server_bytes + last.server_to_client_bytes, relus * task.batch),
        offline_ms=statistics.median(offline_ms),
        offline_ms_samples=tuple(offline_ms),
        offline_bytes=offline[-1].offline_bytes // task.batch,
        setup_bytes=max(0, found.offline[0].offline_bytes - offline[-1].offline_bytes),
        storage_bytes=storage,
        stored_bytes_per_relu=_ratio(max(storage.server, storage.client), relus),
        peak_memory_bytes=peak,
        plaintext_ms=statistics.median(run.total_ms for run in plain),
        plaintext_conv_ms=conv_ms,
        max_abs_error=found.max_abs_error,
        max_ulp_error=found.max_ulp_error if comparable else None,
        within_ulp_bound=found.within_ulp_bound if comparable else None,
        floor_ms=floor,
        floor_distance=timing.median / floor,
    )


def _ratio(amount: float, count: int) -> float | None:
    return amount / count if count else None


def _per_inference(size: PartyBytes, batch: int) -> PartyBytes:
    return PartyBytes(server=size.server // batch, client=size.client // batch)
