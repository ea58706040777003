"""What the private server has, as it was last asked; asked again where that refuses a request: it may have changed."""

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pi_client.gateway.request_queue import RequestQueue
from pi_system.api.client import Served
from pi_system.api.result import Result
from pi_system.errors import InputError, PiError
from pi_system.rpc.calls import RefusedError

_Found = TypeVar("_Found")
FRESH_S: Final = 1.0
"""How long an answer of the private server is believed. Longer: told late. Shorter: every call is one to it."""


class Private(Protocol):
    """What is needed of ``pi_system.api.client.Client``."""

    def served(self) -> Served:
        """What the server has; opens a session where none is open."""

    def predict(self, inputs: NDArray[np.float32]) -> Result:
        """Answers; prepares first where too little is left."""


class Known:
    """Of one private server; calls may come from any thread, but ``ask`` from that of the queue."""

    def __init__(self, private: Private, queue: RequestQueue):
        """Nothing is asked yet."""
        self._private, self._queue = private, queue
        self._served: Served | None = None
        self._asked_s = -np.inf

    def ask(self) -> Served:
        """What it has now. Raises PiError."""
        self._served, self._asked_s = self._private.served(), time.monotonic()
        return self._served

    def forget(self) -> None:
        """Have it asked by the next call."""
        self._served = None

    def use(self, work: Callable[[Served], _Found]) -> _Found:
        """What ``work`` makes of what the server has.

        Raises:
            PiError: nothing is known, and it cannot be asked.
            InputError, RefusedError: of ``work``, with what the server has now.
        """
        known = self._served
        if known is None:
            return work(self._queue.submit(self.ask).result())
        try:
            return work(known)
        except (InputError, RefusedError):
            now = self._anew(known)
            if same(now, known):
                raise
        return work(now)

    def _anew(self, known: Served) -> Served:
        """Asked again, if that was a while ago and can be done."""
        if time.monotonic() - self._asked_s < FRESH_S:
            return self._served or known
        try:
            return self._queue.submit(self.ask).result()
        except PiError:
            return known


def same(one: Served, other: Served) -> bool:
    """Whether a request means the same to both."""
    return (one.model.digest, one.reveal) == (other.model.digest, other.reveal)
