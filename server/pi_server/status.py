"""What the supervisor tells orchestrators: whether it lives, whether it can serve, and its counts."""

import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric

from pi_server.clients import Clients
from pi_system.cli.monitor import metrics_of
from pi_system.durable import private_folder
from pi_system.errors import PiError
from pi_system.secure.index import Index

LEAST_ROOM_BYTES: Final = 64 << 20
"""Less room than this, and a server is not ready: a preparation would fail."""
_STUCK_S: Final = 10.0
DEAF_S: Final = 10.0
"""How long no worker may listen: clients try that long to connect. Shorter: a busy machine, on which workers start
slowly, is not ready. Longer: one on which none starts is."""


_GAUGES: Final = {
    "places": "Sessions that may run at once",
    "taken": "Sessions that run",
    "preparing": "Sessions in the offline phase",
    "waiting": "Clients that wait for a place",
    "listening": "Workers that take connections",
    "certificate_days": "Until the certificate expires",
    "material_bytes": "Unused material at rest, of all clients",
}
_COUNTERS: Final = {
    "granted": "Sessions admitted",
    "refused": "Times a client was told to wait",
    "crashed": "Workers that ended with an error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A moment of a server.

    Attributes:
        ticked_s: CLOCK_MONOTONIC seconds at which it was taken.
        places: sessions at once.
        taken: sessions now.
        preparing: of them in the offline phase.
        waiting: clients with a ticket.
        listening: workers that take connections.
        deaf_s: how long there has been none.
        stopping: no session starts any more.
        granted: sessions admitted so far.
        refused: times a client was told to wait.
        crashed: workers that ended with an error.
        certificate_days: how long the certificate is valid; None: plaintext.
        certificate_problem: why no link can be opened with it; empty: one can.
        store_dir: where material is kept.
    """

    ticked_s: float
    places: int
    taken: int = 0
    preparing: int = 0
    waiting: int = 0
    listening: int = 0
    deaf_s: float = math.inf
    stopping: bool = False
    granted: int = 0
    refused: int = 0
    crashed: int = 0
    certificate_days: float | None = None
    certificate_problem: str = ""
    store_dir: Path

    @property
    def alive(self) -> bool:
        """The supervisor's loop runs."""
        return time.monotonic() - self.ticked_s < _STUCK_S

    @property
    def material_bytes(self) -> int | None:
        """Unused material of all clients at rest; None: it cannot be told."""
        try:
            return Index(self.store_dir / "server").held()
        except (PiError, OSError):
            return None

    def metrics(self) -> Iterator[Metric]:
        """Its counts, for Prometheus."""
        return metrics_of(self, "pi_server", _GAUGES, _COUNTERS)

    def problems(self) -> list[str]:
        """Why no session can be served, nothing if one can. A server whose places are all taken has no problem."""
        found = []
        if not self.alive:
            found.append(f"supervisor: no sign of life for {time.monotonic() - self.ticked_s:.0f} s")
        if self.stopping:
            found.append("server: stopping")
        elif not self.listening and self.deaf_s > DEAF_S:
            found.append(f"workers: expected one that listens, found none for {self.deaf_s:.0f} s")
        if self.certificate_problem:
            found.append(self.certificate_problem)
        if problem := store_problem(self.store_dir) or _unreadable(self.store_dir):
            found.append(problem)
        return found


def _unreadable(folder: Path) -> str:
    """Why no session could ask what is kept there or who may come; empty: each can."""
    try:
        Index(folder / "server").setting("room", 0.0)
        Clients(folder).check_readable()
    except PiError as error:
        return str(error)
    return ""


def store_problem(folder: Path) -> str:
    """Why material cannot be kept in ``folder``, empty if it can."""
    try:
        private_folder(folder)
        probe = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        try:
            os.write(probe, bytes(1))
        finally:
            os.close(probe)
    except OSError as error:
        return f"store: cannot be written: {error.strerror}"
    room = shutil.disk_usage(folder).free
    return "" if room >= LEAST_ROOM_BYTES else f"store: expected {LEAST_ROOM_BYTES} bytes of room, found {room}"
