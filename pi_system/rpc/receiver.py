"""Frames from gRPC's polling thread into a stream's inbox, without a reader's thread in between."""

import threading
import time
from collections.abc import Callable

from pi_system.errors import PiError
from pi_system.rpc.byte_queue import ByteQueue
from pi_system.rpc.direct import DirectCall

Inbox = ByteQueue[tuple[bytes, float]]
"""Frames, and when each arrived, CLOCK_MONOTONIC seconds."""


class Receiver:
    """Waits for one frame after the other while the inbox has room."""

    def __init__(self, call: DirectCall, inbox: Inbox, at_end: Callable[[], None]):
        """``at_end`` is called when none comes any more, or the call is over; it must not block."""
        self._call, self._inbox, self._at_end = call, inbox, at_end
        self._lock = threading.Lock()
        self._waits = True  # for room

    def resume(self) -> None:
        """Wait for the next frame if there is room for it; after every frame taken out of the inbox."""
        if not self._waits:
            return
        with self._lock:
            if not self._waits or self._inbox.full:
                return
            self._waits = False
        if not self._call.receive(self._got):
            self._at_end()

    def _got(self, frame: bytes | None) -> None:
        if frame is None:
            self._at_end()
            return
        try:
            self._inbox.put_at_once((frame, time.monotonic()), len(frame))
        except PiError:
            return  # closed from our side
        self._waits = True  # before looking for room: who makes some looks at this afterwards
        self.resume()
