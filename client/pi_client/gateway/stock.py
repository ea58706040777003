"""Keeps inferences prepared, in the background and in a session of its own: requests are answered meanwhile."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from pi_system.errors import PiError

_LOG = logging.getLogger(__name__)
_AGAIN_S: Final = 10.0
"""After a preparation that failed, as while the server has no place."""


class Stock:
    """A thread that tops up; a context manager."""

    def __init__(self, prepare: Callable[[int], int], goal: int, again_s: float = _AGAIN_S):
        """Nothing runs yet.

        Args:
            prepare: has so many inferences ready, in a session that it opens and ends.
            goal: how many; 0: none.
            again_s: after a preparation that failed.
        """
        self._prepare, self._goal, self._again_s = prepare, goal, again_s
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="stock", daemon=True)

    def __enter__(self) -> "Stock":
        """Begin."""
        if self._goal:
            self._wanted.set()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; a preparation that is at work is left behind: what it finished is kept."""
        self._ended.set()
        self._wanted.set()

    def used(self) -> None:
        """Something was used: see to it that there is more."""
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._ended.is_set():
                return
            self._wanted.clear()
            try:
                self._prepare(self._goal)
            except PiError as error:
                _LOG.warning("preparing ahead: %s; trying again in %g s", error, self._again_s)
                self._ended.wait(self._again_s)
                self._wanted.set()
