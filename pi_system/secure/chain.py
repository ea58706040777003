"""One party's record of the uses of its material with one peer; secure/pairing.py says what it is for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pi_system.durable import draft, sync_folder
from pi_system.secure.kept import HEADER_BYTES, check_header, kept_header
from pi_system.secure.place import place_of

_FILE: Final = "uses"
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """What is recorded.

    Attributes:
        epoch: 32 hexadecimal digits that both parties agreed on; empty: none yet.
        last: number of the last use: at the client that it reserved, at the server that it heard of.
        confirmed: at the client, the last use that the server has on its disk.
    """

    epoch: str = ""
    last: int = 0
    confirmed: int = 0


class Chain:
    """The record on disk, which knows whether it is a copy (secure/place.py); used under ``locked`` only."""

    def __init__(self, folder: Path, binding: dict[str, str]):
        """``folder`` of the material; ``binding``: whose it is."""
        self._path = folder / _FILE
        self._fields = {"what": "uses", **binding}

    def read(self) -> Uses:
        """The record.

        Raises:
            OSError: there is none (FileNotFoundError), or it cannot be read.
            CorrelationMismatchError: it is damaged, a copy, or of another model, peer or protocol version.
        """
        with self._path.open("rb") as file:
            content, place = file.read(), place_of(file.fileno())
        header, body = content[:HEADER_BYTES], content[HEADER_BYTES:]
        found: dict[str, Any] = check_header("record of uses", header, {**self._fields, "place": place}, body)
        return Uses(epoch=found["epoch"], last=found["last"], confirmed=found["confirmed"])

    def write(self, uses: Uses) -> None:
        """Replace the record, durably."""
        values = {"epoch": uses.epoch, "last": uses.last, "confirmed": uses.confirmed}
        with draft(self._path) as file:
            file.write(kept_header({**self._fields, **values, "place": place_of(file.fileno())}, b""))


def forget(folder: Path) -> None:
    """Delete the record in a store's folder, durably."""
    (folder / _FILE).unlink(missing_ok=True)
    sync_folder(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes and threads out of a store's folder; a process that dies lets go."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
