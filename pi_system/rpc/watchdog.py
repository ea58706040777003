"""Deadlines of a session's phases as a whole: they end at a fixed moment, however many frames come meanwhile.

A stream's own timeout is for silence and starts anew with every frame, so a byte now and then would keep a place for
ever.
"""

import math
import threading
import time
from typing import Final, NamedTuple

from pi_system.errors import PeerTimeoutError, PiError
from pi_system.rpc.frames import FrameStream

_POLL_S: Final = 0.2
"""How late a deadline may be noticed; setting one costs nothing."""


class _Phase(NamedTuple):
    """One object, so that the thread that watches never sees half of a new phase."""

    what: str
    since_s: float
    limit_s: float
    spare_s: float


class Watchdog:
    """Fails a stream when what its session is at takes too long."""

    def __init__(self, stream: FrameStream):
        """Watch ``stream`` until it is dead or ``stop`` is called; no deadline yet."""
        self._stream = stream
        self._phase = _Phase("", time.monotonic(), math.inf, math.inf)
        self._idle: tuple[float, PiError] = (math.inf, PeerTimeoutError("expected a command, found silence"))
        self._ended = threading.Event()
        stream.when_dead(lambda _: self._ended.set())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def expect(self, what: str, limit_s: float, *, spare_s: float = math.inf) -> None:
        """A phase starts: ``what`` within ``limit_s``.

        ``spare_s``: the client is waited for, and nothing is at work: so much longer than ``limit_idle`` says at most.
        """
        self._phase = _Phase(what, time.monotonic(), limit_s, spare_s)

    def limit_idle(self, limit_s: float, error: PiError) -> None:
        """Phases that wait for the client, one that runs included, end with ``error`` after this; infinity: in time."""
        self._idle = limit_s, error

    def end(self, error: PiError) -> None:
        """The session may not go on, whatever it is at."""
        self._stream.fail(error)

    def over_within(self, limit_s: float) -> bool:
        """Wait for the session's end, at most so long; whether it came."""
        return self._ended.wait(limit_s)

    def stop(self) -> None:
        """The session is over."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_S):
            phase, (idle_s, error) = self._phase, self._idle
            passed_s = time.monotonic() - phase.since_s
            if passed_s > phase.limit_s:
                self._stream.fail(
                    PeerTimeoutError(
                        f"{self._stream.peer}: expected {phase.what} within {phase.limit_s:g} s in all, found less"
                    )
                )
            elif passed_s > idle_s + phase.spare_s:
                self._stream.fail(error)
