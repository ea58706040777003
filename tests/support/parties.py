"""Server, client and dealer in three threads over memory channels, for any backend with a dealer."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from changed_artifact import runnable

from pi_system.artifact import Artifact
from pi_system.backends.base import Deal
from pi_system.backends.fss.dealer import deal
from pi_system.backends.fss.gates import FSS_GATES
from pi_system.backends.registry import find_backend
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.channel.memory import MemoryChannel, memory_pair
from pi_system.secure.index import Index
from pi_system.secure.options import RuntimeOptions


class Dealer:
    """Pairs the two parties' links and runs ``deal`` once both have asked."""

    def __init__(self, deal: Deal, count: int) -> None:
        self._deal, self._count = deal, count
        self._server, self._client = memory_pair(), memory_pair()
        self._requests: dict[str, bytes] = {}
        self._both = threading.Barrier(2)
        self.error: BaseException | None = None

    def server_link(self, request: bytes) -> MemoryChannel:
        self._meet("server", request)
        return self._server[0]

    def client_link(self, request: bytes) -> MemoryChannel:
        self._meet("client", request)
        return self._client[0]

    def _meet(self, role: str, request: bytes) -> None:
        self._requests[role] = request
        if self._both.wait(timeout=60) == 0:
            assert self._requests["server"] == self._requests["client"]
            threading.Thread(target=self._run, args=(request,), daemon=True).start()

    def _run(self, request: bytes) -> None:
        try:
            self._deal(request, self._count, self._server[1], self._client[1])
        except BaseException as error:
            self.error = error
            self._server[1].close()
            self._client[1].close()


def run_parties(
    server: Callable[[MemoryChannel], Any], client: Callable[[MemoryChannel], Any], timeout_s: float = 120
) -> tuple[Any, Any, MemoryChannel, MemoryChannel]:
    """Run both bodies over one memory pair; returns both results and both ends (for their counters)."""
    left, right = memory_pair(timeout_s)
    results: dict[str, Any] = {}
    errors: list[BaseException] = []

    def body(name: str, function: Callable[[MemoryChannel], Any], channel: MemoryChannel) -> None:
        try:
            results[name] = function(channel)
        except BaseException as error:
            errors.append(error)
            channel.close()

    threads = [
        threading.Thread(target=body, args=("server", server, left)),
        threading.Thread(target=body, args=("client", client, right)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
    if errors:
        raise errors[0]
    return results["server"], results["client"], left, right


Wrap = Callable[[str, Any], Any]
"""From a role and its channel end to the end that it shall have."""


def _bare(role: str, channel: Any) -> Any:
    return channel


PAIRING = "ab" * 16
GATES: dict[str, Any] = {"fss": FSS_GATES, **TWO_PARTY_GATES}
BACKENDS = tuple(GATES)
_FOUND = {name: find_backend(name) for name in BACKENDS}  # imported now: transcripts.py patches what is there


def make_parties(backend: str, artifact: Artifact, store: Path, *, met: bool = True, **options: Any) -> tuple[Any, Any]:
    """Both runtimes of a backend on one store folder, after their meeting; they reveal logits unless told otherwise.

    Where the backend takes no gate of so many bits, of the artifact with fewer (changed_artifact.py).
    """
    artifact = runnable(backend, artifact)
    fields = {"client_id": PAIRING, "reveal": "logits", "insecure_provider": False, **options}
    chosen, found = RuntimeOptions(backend=backend, store_dir=store, **fields), _FOUND[backend]
    server: Any = found.make_server(artifact, chosen)
    client: Any = found.make_client(artifact, chosen)
    if met:
        run_parties(server.meet, client.meet)
    return server, client


def prepare(server: Any, client: Any, count: int, deal: Deal = deal, wrap: Wrap = _bare) -> None:
    """The offline phase of both for ``count`` pictures; ``wrap`` may replace a channel end by role."""
    dealer = Dealer(deal, count)
    run_parties(
        lambda channel: server.prepare(
            count, wrap("server", channel), lambda request: wrap("server from dealer", dealer.server_link(request))
        ),
        lambda channel: client.prepare(
            count, wrap("client", channel), lambda request: wrap("client from dealer", dealer.client_link(request))
        ),
    )


def prepared(backend: str, artifact: Artifact, store: Path, count: int, **options: Any) -> tuple[Any, Any]:
    """Both runtimes, with material for ``count`` pictures."""
    server, client = make_parties(backend, artifact, store, **options)
    prepare(server, client, count)
    return server, client


def reserve(server: Any, client: Any, count: int) -> tuple[str, ...]:
    """Take material for ``count`` pictures on both sides."""
    ids: tuple[str, ...] = client.reserve(count)
    server.reserve(ids)
    client.confirm(ids)
    return ids


def infer(
    server: Any, client: Any, pictures: Any, *, ids: tuple[str, ...] = (), wrap: Wrap = _bare
) -> tuple[Any, MemoryChannel, MemoryChannel]:
    """Infer one batch with the material ``ids``, or reserve it: (what the client gets, server end, client end)."""
    ids = ids or reserve(server, client, len(pictures))
    _, found, left, right = run_parties(
        lambda channel: server.infer(ids, wrap("server", channel)),
        lambda channel: client.infer(pictures, ids, wrap("client", channel)),
    )
    return found, left, right


def uses_in(folder: Path) -> list[str]:
    """Ids of the bundles whose use is logged in the index of one role's folder."""
    index = Index(folder)
    return [material_id for key in index.keys() for material_id in index.taken_since(key, 0.0)]


def secure_logits(
    backend: str, artifact: Artifact, pictures: Any, store: Path, **options: Any
) -> tuple[Any, MemoryChannel, MemoryChannel]:
    """Prepare, reserve and infer one batch: (logits, or what ``reveal`` says; server end, client end)."""
    return infer(*prepared(backend, artifact, store, len(pictures), **options), pictures)
