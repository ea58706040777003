"""An in-process pair of channels: two parties in two threads, for tests and for dry runs."""

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pi_system.channel.base import Channel, ChannelCounters
from pi_system.errors import PeerTimeoutError, PeerUnavailableError, RemoteProtocolError
from pi_system.protocols.half import Readable

A = TypeVar("A")
B = TypeVar("B")


class MemoryChannel:
    """One end of an in-process connection."""

    def __init__(
        self,
        inbox: "queue.Queue[tuple[bytes, float] | None]",
        outbox: "queue.Queue[tuple[bytes, float] | None]",
        timeout_s: float,
    ):
        """Read from ``inbox``, write to ``outbox``; None in a queue says that the peer closed."""
        self.counters = ChannelCounters()
        self.arrivals: list[tuple[float, int]] = []
        self._inbox, self._outbox, self._timeout_s = inbox, outbox, timeout_s

    def send(self, data: Readable) -> None:
        """Queue a copy of ``data``."""
        view = memoryview(data).cast("B")
        self.counters.on_send(view.nbytes)
        self._outbox.put((bytes(view), time.monotonic()))

    def recv(self, nbytes: int) -> memoryview:
        """The next message; see Channel."""
        try:
            entry = self._inbox.get(timeout=self._timeout_s)
        except queue.Empty:
            raise PeerTimeoutError(f"expected a message of {nbytes} bytes within {self._timeout_s} s") from None
        if entry is None:
            raise PeerUnavailableError(f"expected a message of {nbytes} bytes, found that the peer closed")
        message, arrived_s = entry
        self.arrivals = [(arrived_s, len(message))]
        if len(message) != nbytes:
            raise RemoteProtocolError(f"expected a message of {nbytes} bytes, found {len(message)}")
        self.counters.on_receive(nbytes)
        return memoryview(message)

    def close(self) -> None:
        """Tell the peer that nothing more comes."""
        self._outbox.put(None)


def memory_pair(timeout_s: float = 60.0) -> tuple[MemoryChannel, MemoryChannel]:
    """Two connected ends."""
    left: queue.Queue[tuple[bytes, float] | None] = queue.Queue()
    right: queue.Queue[tuple[bytes, float] | None] = queue.Queue()
    return MemoryChannel(left, right, timeout_s), MemoryChannel(right, left, timeout_s)


def simulate(server: Callable[[Channel], A], client: Callable[[Channel], B], timeout_s: float = 60.0) -> tuple[A, B]:
    """Run two parties in two threads over a memory pair and return both results; the first error is raised."""
    ends = memory_pair(timeout_s)
    results: list[object] = [None, None]
    errors: list[BaseException] = []

    def party(index: int, body: Callable[[Channel], object]) -> None:
        try:
            results[index] = body(ends[index])
        except BaseException as error:
            errors.append(error)
        finally:
            ends[index].close()

    threads = [threading.Thread(target=party, args=(i, body)) for i, body in enumerate((server, client))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results[0], results[1]  # type: ignore[return-value]
