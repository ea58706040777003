"""Server, client and dealer in three threads over memory channels, for any backend with a dealer."""

import threading
from collections.abc import Callable
from typing import Any

from pi_system.backends.base import Deal
from pi_system.channel.memory import MemoryChannel, memory_pair


class Dealer:
    """Pairs the two parties' links and runs ``deal`` once both have asked."""

    def __init__(self, deal: Deal, count: int):
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


PAIRING = "ab" * 16


def fss_logits(artifact: Any, pictures: Any, store: Any, **options: Any) -> tuple[Any, MemoryChannel, MemoryChannel]:
    """Prepare, reserve and infer one batch under backend fss: (logits, server end, client end)."""
    from pi_system.offline.dealer import deal
    from pi_system.runtime.fss import FssClient, FssServer

    server, client = FssServer(artifact, store, PAIRING, **options), FssClient(artifact, store, PAIRING, **options)
    count = len(pictures)
    dealer = Dealer(deal, count)
    run_parties(
        lambda channel: server.prepare(count, channel, dealer.server_link),
        lambda channel: client.prepare(count, channel, dealer.client_link),
    )
    ids = client.reserve(count)
    server.reserve(ids)
    _, logits, left, right = run_parties(
        lambda channel: server.infer(ids, channel), lambda channel: client.infer(pictures, ids, channel)
    )
    return logits, left, right
