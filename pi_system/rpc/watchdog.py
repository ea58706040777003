"""Deadlines of a session's phases as a whole: they end at a fixed moment, however many frames come meanwhile.

A stream's own timeout is for silence and starts anew with every frame, so a byte now and then would keep a place for
ever.
"""

import math
import threading
import time
from typing import Final

from pi_system.errors import PeerTimeoutError, PiError
from pi_system.rpc.frames import FrameStream

_POLL_S: Final = 0.2
"""How late a deadline may be noticed; setting one costs nothing."""


class Watchdog:
    """Fails a stream when what its session is at takes too long."""

    def __init__(self, stream: FrameStream):
        """Watch ``stream`` until it is dead or ``stop`` is called; no deadline yet."""
        self._stream = stream
        self._what, self._idle = "", False
        self._since_s, self._limit_s, self._idle_limit_s = time.monotonic(), math.inf, math.inf
        self._idle_error: PiError = PeerTimeoutError("expected a command, found silence")
        self._ended = threading.Event()
        stream.when_dead(lambda _: self._ended.set())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def expect(self, what: str, limit_s: float, *, idle: bool = False) -> None:
        """A phase starts: ``what`` within ``limit_s``; ``idle``: the client is waited for, and nothing is at work."""
        self._limit_s = math.inf  # until all of the new phase is noted
        self._what, self._idle, self._since_s = what, idle, time.monotonic()
        self._limit_s = limit_s

    def limit_idle(self, limit_s: float, error: PiError) -> None:
        """Idle phases, one that runs included, end with ``error`` after this; infinity: as ``expect`` says."""
        self._idle_limit_s, self._idle_error = limit_s, error

    def stop(self) -> None:
        """The session is over."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_S):
            passed_s, limit_s = time.monotonic() - self._since_s, self._limit_s
            if passed_s > limit_s:
                peer, what = self._stream.peer, self._what
                self._stream.fail(PeerTimeoutError(f"{peer}: expected {what} within {limit_s:g} s in all, found less"))
            elif self._idle and passed_s > self._idle_limit_s:
                self._stream.fail(self._idle_error)
