"""Calls that have to be over: a peer that neither sends nor reads does not keep one, and with it a handler's thread.

Between gRPC and a handler there are two waits without an end of their own: for a request that its caller never sends,
and for room at a caller that reads nothing (HTTP/2 lets it grant none). Pings are answered meanwhile.
"""

import queue
import threading
import time
from typing import Final, Protocol

CALL_S: Final = 5.0
"""How long a request and its reply may take, and a stream's call after its stream is dead. Shorter: slow links are cut
off before they hear why. Longer: who reads nothing keeps others out longer."""


class Cancellable(Protocol):
    """A call, as gRPC's context of it."""

    def is_active(self) -> bool:
        """It is not over."""

    def cancel(self) -> object:
        """End it."""


class Overdue:
    """Ends calls ``limit_s`` after they were named, if they are not over by then; in one thread of its own."""

    def __init__(self, limit_s: float = CALL_S):
        """None yet."""
        self._limit_s = limit_s
        self._calls: queue.SimpleQueue[tuple[float, Cancellable]] = queue.SimpleQueue()
        threading.Thread(target=self._end, name="overdue", daemon=True).start()

    def add(self, call: Cancellable) -> None:
        """Its time runs from now on; never blocks."""
        self._calls.put((time.monotonic() + self._limit_s, call))

    def _end(self) -> None:
        while True:
            due_s, call = self._calls.get()  # all have the same time: the first added is the first due
            time.sleep(max(0.0, due_s - time.monotonic()))
            if call.is_active():
                call.cancel()
