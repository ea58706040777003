"""Has requests answered one after another: a session runs one inference at a time, and so many may wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pi_system.errors import BusyError, PeerUnavailableError

_Answer = TypeVar("_Answer")


class RequestQueue:
    """A thread that works, and a bound on those who wait for it."""

    def __init__(self, waiting: int):
        """``waiting``: requests that may wait while one is answered. More: memory, and answers that come too late."""
        self._most = waiting + 1
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gateway")
        self._lock = threading.Lock()
        self._held, self._closed = 0, False

    def submit(self, work: Callable[[], _Answer]) -> "Future[_Answer]":
        """What ``work`` will give; cancelled before it starts, it does not run.

        Raises:
            BusyError: as many wait as may.
            PeerUnavailableError: the gateway stops.
        """
        with self._lock:
            if self._closed:
                raise PeerUnavailableError("gateway: stopping")
            if self._held >= self._most:
                raise BusyError(f"gateway: expected at most {self._most} requests at once, found one more")
            self._held += 1
            future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return future

    def refuse(self) -> None:
        """Take no more."""
        with self._lock:
            self._closed = True

    def close(self) -> None:
        """Take no more, drop who waits, and let the one at work end."""
        self.refuse()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: "Future[_Answer]") -> None:
        with self._lock:
            self._held -= 1
