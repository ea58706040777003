"""A queue bounded in bytes, closable with an error: what stands between a protocol thread and a gRPC thread."""

import threading
import time
from collections import deque
from typing import Final, Generic, TypeVar

from pi_system.errors import PeerTimeoutError, PiError
from pi_system.interrupts import parts

T = TypeVar("T")

_ENTRY_BYTES: Final = 256
"""What an item counts beside its own bytes, about what Python keeps of it: a peer may send empty ones, any number."""


class ByteQueue(Generic[T]):
    """First in, first out, between one writer and one reader.

    The bound is soft: an item of any size is taken while less than ``limit_bytes`` are held. A hard bound would
    deadlock two parties that both send a message above it before they receive, which exchanges do.

    Not a ``queue.SimpleQueue``: where a signal meets the end of its timeout, CPython's waits for ever (3.11), and with
    it whoever pressed Ctrl-C. A condition in its place is slower online (docs/explanation/decisions.md).
    """

    def __init__(self, limit_bytes: int):
        """An empty, open queue."""
        self._limit_bytes = limit_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._room = threading.Condition()
        self._news = threading.Lock()  # free when something came since the reader looked
        self._news.acquire()
        self._held_bytes = 0
        self._closed = False
        self._error: PiError | None = None

    def put(self, item: T, nbytes: int, timeout_s: float | None) -> None:
        """Append ``item``.

        Raises:
            PeerTimeoutError: there was no room in time: the other side does not read.
            PiError: whatever the queue was closed with.
        """
        with self._room:
            if self._held_bytes > self._limit_bytes and not self._closed:
                if not any(self._room.wait_for(self._takes, part_s) for part_s in parts(timeout_s)):
                    raise PeerTimeoutError(f"expected the peer to read within {timeout_s} s, found it stuck")
            self._append(item, nbytes)

    def _takes(self) -> bool:
        return self._held_bytes <= self._limit_bytes or self._closed

    def put_at_once(self, item: T, nbytes: int) -> None:
        """Append ``item``, room or not, for who asked for it while there was some. Raises what ``close`` was told."""
        with self._room:
            self._append(item, nbytes)

    def _append(self, item: T, nbytes: int) -> None:
        if self._closed:
            raise copied(self._error or PiError("this end of the connection is closed"))
        self._held_bytes += nbytes + _ENTRY_BYTES
        self._items.append((item, nbytes + _ENTRY_BYTES))
        self._tell()

    def _tell(self) -> None:
        """Wake the reader; for who holds ``_room``."""
        if self._news.locked():
            self._news.release()

    @property
    def full(self) -> bool:
        """A ``put`` would wait."""
        return self._held_bytes > self._limit_bytes

    @property
    def closed(self) -> bool:
        """Nothing more is taken."""
        return self._closed

    def get(self, timeout_s: float | None) -> T | None:
        """The next item; None once the queue was closed without an error and is empty.

        Raises:
            PeerTimeoutError: nothing came in time.
            PiError: whatever the queue was closed with.
        """
        for part_s in parts(timeout_s):
            if self._comes(part_s):
                break
        else:
            raise PeerTimeoutError(f"expected a message within {timeout_s} s, found the peer silent")
        if not self._items:
            if self._error is not None:
                raise copied(self._error)
            return None
        item, nbytes = self._items.popleft()
        with self._room:
            self._held_bytes -= nbytes
            self._room.notify()
        return item

    def _comes(self, timeout_s: float | None) -> bool:
        """Whether there is something to tell the reader, at once or in time."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not (self._items or self._closed):
            left_s = -1.0 if until_s is None else max(0.0, until_s - time.monotonic())
            if not self._news.acquire(timeout=left_s):
                return bool(self._items) or self._closed
        return True

    def close(self, error: PiError | None = None) -> None:
        """Take nothing more; what is held can still be read. The first close decides."""
        with self._room:
            if self._closed:
                return
            self._closed, self._error = True, error and copied(error)
            self._tell()
            self._room.notify_all()


def copied(error: PiError) -> PiError:
    """A copy without traceback: a kept one would hold every object of the frames it passed, runtimes included."""
    return type(error)(*error.args)
