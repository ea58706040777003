"""Clients whose hello is waited for: no certificate, not even one that is revoked, holds all of a worker's streams."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pi_server.clients import SHARED
from pi_system.errors import BusyError

HELLOS: Final = 64
"""Clients that may say hello at once; more are refused by gRPC and come again."""
HELLOS_EACH: Final = 32
"""Of one certificate. More: one that opens streams and says nothing keeps all others out. Fewer: those who share one
and come all at once are sent away for a second."""


class Hellos:
    """Counts them, by the name in the certificate."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """One more while the block runs. Raises BusyError: there are too many of that name."""
        with self._lock:
            if self._counts[name] >= HELLOS_EACH:
                raise BusyError(f"server: client {name or SHARED} has {HELLOS_EACH} connections that said no hello yet")
            self._counts[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[name] -= 1
