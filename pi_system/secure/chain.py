"""One party's record of the uses of its material with one peer; secure/pairing.py says what it is for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pi_system.durable import draft, private_folder, sync_folder
from pi_system.errors import CorrelationMismatchError
from pi_system.secure import place
from pi_system.secure.index import Index
from pi_system.secure.kept import HEADER_BYTES, check_header, kept_header

_FILE: Final = "uses"
LOCK: Final = "lock"


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
    """The record on disk, which knows whether it is a copy (secure/place.py); used under ``locked`` only.

    The index holds the same numbers, written before: an index that is behind the record was put back from a backup.
    """

    def __init__(self, folder: Path, binding: dict[str, str], index: Index, key: str):
        """``folder`` of the material, its ``key`` in the ``index``; ``binding``: whose it is."""
        self._path, self._index, self._key = folder / _FILE, index, key
        self._fields = {"what": "uses", **binding}

    def read(self) -> Uses:
        """The record.

        Raises:
            OSError: there is none (FileNotFoundError), or it cannot be read.
            CorrelationMismatchError: it is damaged, a copy, newer than the index, or of another model, peer or
                protocol version.
        """
        with self._path.open("rb") as file:
            content, here = file.read(), place.place_of(file.fileno())
        header, body = content[:HEADER_BYTES], content[HEADER_BYTES:]
        found: dict[str, Any] = check_header("record of uses", header, {**self._fields, "place": here}, body)
        epoch, last, confirmed = self._index.record(self._key)
        if epoch != found["epoch"] or last < found["last"] or confirmed < found["confirmed"]:
            raise CorrelationMismatchError("index: expected one as new as the record of uses, found an older one")
        return Uses(epoch=epoch, last=found["last"], confirmed=found["confirmed"])

    def write(self, uses: Uses) -> None:
        """Replace the record, durably."""
        self._index.set_record(self._key, (uses.epoch, uses.last, uses.confirmed))
        values = {"epoch": uses.epoch, "last": uses.last, "confirmed": uses.confirmed}
        with draft(self._path) as file:
            file.write(kept_header({**self._fields, **values, "place": place.place_of(file.fileno())}, b""))


def forget(folder: Path) -> None:
    """Delete the record in a store's folder, durably."""
    (folder / _FILE).unlink(missing_ok=True)
    sync_folder(folder)


@contextmanager
def locked(folder: Path, *, touch: bool = True) -> Iterator[None]:
    """Keep other processes and threads out of a store's folder, which is made if missing; a process that dies lets go.

    When the lock was last taken is when its file was last written; not so with ``touch`` False.
    """
    path = folder / LOCK
    while True:
        private_folder(folder)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # the folder was dropped just now (secure/stores.py)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(descriptor, path):  # else dropped while this process waited
                if touch:
                    os.utime(descriptor)
                yield
                return
        finally:
            os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
