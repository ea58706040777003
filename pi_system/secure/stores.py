"""All stores under one party's folder: for the commands that show, burn and clean material."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pi_system.durable import modified_before, private_folder, remove_parts
from pi_system.secure.chain import LOCK, forget, locked
from pi_system.secure.index import Index
from pi_system.secure.store import SETTLED_S, burn_store, sweep

EMPTY_S: Final = 86400.0
"""How long an empty store stays. Shorter: clients that come daily start anew each time. Longer: those that come once,
with an id drawn for it, leave more folders behind."""
LOG_DAYS: Final = 365.0
"""How long uses stay logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One party's material for one model, backend and client.

    Attributes:
        model: the first 32 hexadecimal digits of the artifact's digest.
        backend: its name.
        reveal: what the material was prepared to open.
        client: the client's pairing id, 32 hexadecimal digits.
        folder: where it lies.
        key: its name in the index.
        index: of this role's material.
    """

    model: str
    backend: str
    reveal: str
    client: str
    folder: Path
    key: str
    index: Index = field(repr=False)

    def unused(self) -> tuple[int, int]:
        """How many prepared inferences were not used, and their bytes."""
        sizes = self.index.unused(self.key).values()
        return len(sizes), sum(sizes)

    def owner(self) -> str:
        """Name of the client's certificate; empty: none has claimed it."""
        found = self.index.owner(self.client)
        return found[0] if found else ""

    def burn(self) -> int:
        """Delete all material and the record of uses; returns how many inferences were unused.

        The peer finds no record at the next meeting and burns its half. Sessions that are open can use no more.
        """
        private_folder(self.folder)
        with locked(self.folder):
            burned = burn_store(self.index, self.key, self.folder)
            forget(self.folder)
        return burned

    def clean(self, log_s: float) -> tuple[int, int, int]:
        """Burn what expired or lost its file, delete files of no bundle, and uses logged more than ``log_s`` ago.

        A store in which nothing is left, and to which nobody has come for a day, goes as a whole: whoever comes with
        that id again starts anew, and burns what it has left over, of which this side has no half.

        Returns:
            How many of each.
        """
        found = (
            *sweep(self.index, self.key, self.folder),
            self.index.trim(self.key, time.time() - max(log_s, SETTLED_S)),
        )
        if not self.folder.is_dir():
            self.index.drop(self.key)
        elif self._left():
            with locked(self.folder, touch=False):
                if self._left():
                    self._drop()
        return found

    def _left(self) -> bool:
        """Whether it is empty, and nobody came for long enough."""
        return not self.unused()[0] and modified_before(self.folder / LOCK, time.time() - EMPTY_S)

    def _drop(self) -> None:
        self.index.drop(self.key)
        for path in self.folder.iterdir():
            if path.name != LOCK:  # while it lies there, whoever comes waits for it
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (self.folder / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def tidy(root: Path, role: str, log_s: float) -> tuple[int, int, int]:
    """``clean`` all stores of ``role`` under ``root``, what crashes left half written, and owners of no store.

    Returns:
        The sums of what ``clean`` says.
    """
    remove_parts(root)
    found = [stored.clean(log_s) for stored in all_stores(root, role)]
    if (root / role).is_dir():
        Index(root / role).disown()
    burned, deleted, forgotten = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0, 0)
    return burned, deleted, forgotten


def all_stores(root: Path, role: str) -> Iterator[Stored]:
    """The stores of ``role`` under ``root``, in order; none if there is no such folder."""
    folder = root / role
    if not folder.is_dir():
        return
    index = Index(folder)
    # Beside them lies what is kept once a model. A folder of an older version is not in the index.
    on_disk = {f"{path.relative_to(folder)}" for path in folder.glob("*/*/*/") if len(path.name) == 32}
    for key in sorted(on_disk | set(index.keys())):
        model, kind, client = key.split("/")
        backend, _, reveal = kind.rpartition("-")  # a backend's name may have hyphens
        yield Stored(
            model=model, backend=backend, reveal=reveal, client=client, folder=folder / key, key=key, index=index
        )
