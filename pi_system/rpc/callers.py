"""Calls that are open, by certificate: none, not even one that is revoked, has all that a listener serves at once."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from pi_system.errors import BusyError
from pi_system.rpc.tls import Caller


class Callers:
    """Counts them."""

    def __init__(self, most: int):
        """``most``: calls at once of one certificate. More: it keeps all others out. Fewer: those who share it wait."""
        self._most = most
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, caller: Caller | None, when_over: Callable[[Callable[[], None]], Any]) -> None:
        """One more call of ``caller``, None: of those without TLS, until it is over.

        ``when_over`` keeps what is to be called then, or is false if that was already.

        Raises BusyError: there are too many.
        """
        name = f"{caller.role} {caller.name}".strip() if caller else "without TLS"
        with self._lock:
            if self._counts[name] >= self._most:
                raise BusyError(f"caller {name}: expected at most {self._most} open calls of one certificate")
            self._counts[name] += 1
        if not when_over(lambda: self._leave(name)):
            self._leave(name)

    def _leave(self, name: str) -> None:
        with self._lock:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
