"""What a stream sends, in order: small messages in the thread that writes them, others by gRPC's, which pulls them."""

import threading
from collections.abc import Callable, Iterator
from typing import Final

from pi_system.errors import PiError
from pi_system.rpc.byte_queue import ByteQueue
from pi_system.rpc.direct import DirectCall

DIRECT_BYTES: Final = 1 << 18
"""A message up to this size leaves in the thread that writes it. Larger: that thread copies and encrypts where it could
compute. Smaller: more messages pay for the hand-over to gRPC's thread."""

Cut = Callable[[memoryview, int], Iterator[bytes]]
"""The frames of a message: its bytes, its tag."""


class Outbox:
    """Between the threads that write, one at a time, and gRPC."""

    def __init__(self, limit_bytes: int, cut: Cut):
        """An empty one that holds ``limit_bytes``, see ByteQueue."""
        self._queue: ByteQueue[tuple[memoryview, int]] = ByteQueue(limit_bytes)
        self._cut = cut
        self._call: DirectCall | None = None
        self._turn = threading.Condition()
        self._pulled = 0  # messages that gRPC's thread has, or will get
        self._flying = False  # one that left in its writer's thread has not ended yet

    def connect(self, call: DirectCall | None) -> None:
        """From now on small messages may leave through ``call``."""
        self._call = call

    def put(self, view: memoryview, tag: int, timeout_s: float) -> None:
        """Send a message after those before it. Errors as ByteQueue.put."""
        if self._call is not None and view.nbytes <= DIRECT_BYTES and self._takes_off():
            try:
                (frame,) = self._cut(view, tag)
                if self._call.send(frame, self._landed):
                    return
            except BaseException:  # such as Ctrl-C: nobody may wait for its landing
                self._landed()
                raise
            self._landed()
        with self._turn:
            self._pulled += 1
        self._queue.put((view, tag), view.nbytes, timeout_s)

    def _takes_off(self) -> bool:
        with self._turn:
            if self._flying or self._pulled or self._queue.closed:
                return False
            self._flying = True
            return True

    def _landed(self) -> None:
        with self._turn:
            self._flying = False
            self._turn.notify_all()

    def frames(self) -> Iterator[bytes]:
        """What is left to gRPC's thread; ends (with the error, if any) once closed and drained."""
        while (entry := self._next()) is not None:
            yield from self._cut(*entry)
            with self._turn:
                self._pulled -= 1

    def _next(self) -> tuple[memoryview, int] | None:
        try:
            return self._queue.get(None)
        finally:  # gRPC sends one frame at a time, and nothing may follow the end
            with self._turn:
                self._turn.wait_for(lambda: not self._flying)

    def close(self, error: PiError | None = None) -> None:
        """See ByteQueue.close."""
        self._queue.close(error)
