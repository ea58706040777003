"""When workers are started again that could not be: at once, then at ever longer intervals, and never given up.

What keeps them from starting (no descriptors, no memory, a process limit) passes, and sessions that run do not need
them. Only a server of which none ever started ends: something is wrong with it, and nobody is served.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from pi_system.errors import InvariantError

_MAX_FAILED: Final = 3
_FIRST_S: Final = 0.5
_LONGEST_S: Final = 15.0
"""Between two attempts. Longer: the server is deaf longer than its trouble. Shorter: a full machine is kept busy."""
_LOG = logging.getLogger(__name__)


class Starts:
    """The failed starts since one succeeded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """None yet; ``clock``: seconds."""
        self._clock = clock
        self._failed, self._due_s = 0, clock()
        self._ever = False

    @property
    def due(self) -> bool:
        """A worker that is missing may be started now."""
        return self._clock() >= self._due_s

    def succeeded(self) -> None:
        """A worker listens."""
        self._failed, self._ever = 0, True

    def failed(self, why: str) -> None:
        """A worker could not be started, or ended before it listened. Raises InvariantError: none ever did."""
        self._failed += 1
        if not self._ever and self._failed >= _MAX_FAILED:
            raise InvariantError(f"expected workers to start, found {_MAX_FAILED} that did not: {why}")
        pause_s = 0.0 if self._failed == 1 else min(_LONGEST_S, _FIRST_S * 2.0 ** min(self._failed - 2, 10))
        self._due_s = self._clock() + pause_s
        _LOG.warning("a worker could not be started: %s; tried again in %g s", why, pause_s)
