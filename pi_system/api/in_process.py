"""Both parties of an inference in this process, over channels in memory: for notebooks and tests, not for secrets."""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pi_system.api.result import Cost
from pi_system.artifact.model import Artifact
from pi_system.backends.base import ClientRuntime, Deal, PairedClient, PairedRuntime, ServerRuntime, SizedRuntime
from pi_system.backends.registry import Backend, check_runs, find_backend
from pi_system.channel.base import Channel, ChannelCounters
from pi_system.channel.memory import MemoryChannel, memory_pair, simulate
from pi_system.errors import ConfigError, InvariantError
from pi_system.program.reveal import Reveal, check_reveal
from pi_system.rpc.client_session import BATCH_BYTES
from pi_system.secure.options import RuntimeOptions

__all__ = ["infer_here"]

_CLIENT_ID = "00" * 16
_TIMEOUT_S = 600.0


def infer_here(
    artifact: Artifact, inputs: NDArray[np.float32], backend: str, reveal: Reveal
) -> tuple[NDArray[np.float64], Cost]:
    """Prepare and run an inference of every input, both parties here.

    Returns:
        What ``reveal`` opens, (N, classes) or of labels (N, 1), and the cost of both phases.

    Raises:
        ConfigError: a backend that is none, that cannot run this network, or of which a process holds one party only.
    """
    check_reveal(artifact.public.graph, reveal)
    found = find_backend(backend)
    if not found.DURABLE:
        raise ConfigError(f"backend {backend}: expected one with both parties in a process: serve it by pi.Server")
    check_runs(artifact.public, backend)
    with tempfile.TemporaryDirectory(prefix="pi-system-") as folder:
        options = RuntimeOptions(
            backend=backend, client_id=_CLIENT_ID, reveal=reveal, insecure_provider=False, store_dir=Path(folder)
        )
        return _Pair(found, artifact, options).infer(inputs)


class _Pair:
    """The two runtimes, and the bytes that their offline phases took."""

    def __init__(self, backend: Backend, artifact: Artifact, options: RuntimeOptions):
        self._deal: Deal = backend.deal
        self._server: ServerRuntime = backend.make_server(artifact, options)
        self._client: ClientRuntime = backend.make_client(artifact, options)
        server, client = self._server, self._client
        if isinstance(server, PairedRuntime) and isinstance(client, PairedRuntime):
            simulate(server.meet, client.meet, _TIMEOUT_S)

    def infer(self, inputs: NDArray[np.float32]) -> tuple[NDArray[np.float64], Cost]:
        """In batches whose material fits into memory."""
        each = self._client.inference_bytes if isinstance(self._client, SizedRuntime) else 0
        size = max(1, min(64, BATCH_BYTES // max(each, 1)))
        offline_ms = online_ms = 0.0
        offline_bytes, rounds, nbytes, outputs = 0, 0, 0, []
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            started_s = time.perf_counter()
            offline_bytes += self._prepare(len(batch))
            offline_ms += 1000 * (time.perf_counter() - started_s)
            output, counters, elapsed_ms = self._online(batch)
            outputs.append(output)
            online_ms += elapsed_ms
            rounds += counters.rounds
            nbytes += counters.sent_bytes + counters.received_bytes
        cost = Cost(
            online_ms=online_ms,
            online_rounds=rounds,
            online_bytes=nbytes,
            offline_ms=offline_ms,
            offline_bytes=offline_bytes,
            offline_count=len(inputs),
            prepared_now=True,
        )
        return np.concatenate(outputs), cost

    def _prepare(self, count: int) -> int:
        """Payload of an offline phase on all connections."""
        dealer = _Dealer(self._deal, count)

        def client(channel: Channel) -> int:
            self._client.prepare(count, channel, dealer.client_link)
            return _payload(channel.counters)

        _, peer_bytes = simulate(
            lambda channel: self._server.prepare(count, channel, dealer.server_link), client, _TIMEOUT_S
        )
        return peer_bytes + dealer.payload()

    def _online(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float64], ChannelCounters, float]:
        ids = self._client.reserve(len(batch))
        self._server.reserve(ids)
        if isinstance(self._client, PairedClient):
            self._client.confirm(ids)
        started_s = time.perf_counter()

        def client(channel: Channel) -> tuple[NDArray[np.float64], ChannelCounters, float]:
            output = self._client.infer(batch, ids, channel)
            return output, channel.counters, 1000 * (time.perf_counter() - started_s)

        _, found = simulate(lambda channel: self._server.infer(ids, channel), client, _TIMEOUT_S)
        return found


class _Dealer:
    """A dealer in a thread of its own, once both parties have asked."""

    def __init__(self, deal: Deal, count: int):
        self._deal, self._count = deal, count
        self._server, self._client = memory_pair(_TIMEOUT_S), memory_pair(_TIMEOUT_S)
        self._lock, self._requests = threading.Lock(), list[bytes]()
        self.server_link = self._link(self._server[0])
        self.client_link = self._link(self._client[0])

    def _link(self, end: MemoryChannel) -> Callable[[bytes], Channel]:
        def link(request: bytes) -> Channel:
            with self._lock:
                self._requests.append(request)
                if len(self._requests) == 2:
                    threading.Thread(target=self._run, name="dealer", daemon=True).start()
            return end

        return link

    def _run(self) -> None:
        try:
            first, second = self._requests
            if first != second:
                raise InvariantError("dealer: expected the same request of both parties, found two")
            self._deal(first, self._count, self._server[1], self._client[1])
        finally:
            self._server[1].close()
            self._client[1].close()

    def payload(self) -> int:
        """Bytes on both links."""
        return sum(_payload(end.counters) for end in (self._server[0], self._client[0]))


def _payload(counters: ChannelCounters) -> int:
    return counters.sent_bytes + counters.received_bytes
