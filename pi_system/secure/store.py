"""Offline material at rest: one file an inference, used once, marked used on disk before its first byte is sent.

    <root>/<role>/<artifact digest>/<backend>/<pairing id>/<material id>.ready   prepared
                                                           <material id>.used    taken; emptied once it is in memory

Taking a bundle renames it and syncs the folder, which is atomic between processes and survives a crash: material
that was taken and never finished is burned, never offered again. Files are mode 0600 in folders of mode 0700 and
have the form of secure/kept.py; they are not encrypted, so the disk must be as trusted as the process. What a backup
that was put back would offer a second time is found by secure/pairing.py.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pi_system.durable import PART_SUFFIX, draft, sync_folder
from pi_system.errors import (
    ConfigError,
    CorrelationExhaustedError,
    CorrelationMismatchError,
    CorrelationReusedError,
)
from pi_system.secure.kept import HEADER_BYTES, check_header, kept_header
from pi_system.secure.layout import Bundle, Layout

_ID = re.compile(r"[0-9a-f]{32}")


class MaterialStore:
    """The material of one party for one model, backend and peer.

    Attributes:
        epoch: what the two parties agreed on when they met (secure/pairing.py); material of another one is refused.
    """

    def __init__(self, root: Path, *, role: str, digest: str, backend: str, pairing_id: str, limit_bytes: int):
        """Open (and create) the folder; ``limit_bytes`` bounds what it may hold."""
        if not _ID.fullmatch(pairing_id):
            raise ConfigError("pairing id: expected 32 hexadecimal digits")
        self._binding = {"role": role, "digest": digest, "backend": backend, "pairing_id": pairing_id}
        self._folder = root / role / digest[:32] / backend / pairing_id
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit_bytes = limit_bytes
        self.epoch = ""

    def ids(self) -> list[str]:
        """Unused material, oldest first."""
        return [path.stem for _, path in sorted((found.st_mtime_ns, path) for path, found in unused_in(self._folder))]

    def check_room(self, nbytes: int) -> None:
        """Raise ConfigError if ``nbytes`` more would pass the store's limit."""
        held = sum(found.st_size for _, found in unused_in(self._folder))
        if held + nbytes > self._limit_bytes:
            raise ConfigError(
                f"material store: expected at most {self._limit_bytes} bytes, "
                f"found {held} held and {nbytes} more asked for"
            )

    def put(self, material_id: str, bundle: Bundle) -> None:
        """Write one bundle durably under a new id. Raises CorrelationMismatchError if the store is burned meanwhile."""
        try:
            with draft(self._path(material_id, "ready")) as file:
                file.writelines([kept_header(self._fields(material_id), bundle.body.data), bundle.body.data])
        except FileNotFoundError:
            raise CorrelationMismatchError(f"material {material_id}: burned while it was written") from None

    def take(self, material_id: str) -> None:
        """Mark one bundle used, durably.

        Raises:
            CorrelationReusedError: it was taken before.
            CorrelationMismatchError: this store never held it.
        """
        ready, used = self._path(material_id, "ready"), self._path(material_id, "used")
        if used.exists():
            ready.unlink(missing_ok=True)  # a copy that was put back
            raise CorrelationReusedError(f"material {material_id}: expected unused, found used")
        try:
            os.rename(ready, used)
        except FileNotFoundError:
            if used.exists():
                raise CorrelationReusedError(f"material {material_id}: expected unused, found used") from None
            raise CorrelationMismatchError(f"material {material_id}: not held for this model and peer") from None
        sync_folder(self._folder)

    def take_next(self, count: int) -> tuple[str, ...]:
        """Mark the ``count`` oldest bundles used; those that another process takes meanwhile are passed over.

        Raises:
            CorrelationExhaustedError: fewer are left; nothing is taken then, but for a race that was lost.
        """
        ready, taken = self.ids(), list[str]()
        for position, material_id in enumerate(ready):
            if len(taken) == count or len(taken) + len(ready) - position < count:
                break
            try:
                self.take(material_id)
            except CorrelationReusedError:
                continue
            taken.append(material_id)
        if len(taken) < count:
            raise CorrelationExhaustedError(f"prepared inferences: expected {count} unused, found {len(ready)}")
        return tuple(taken)

    def load(self, material_id: str, layout: Layout) -> Bundle:
        """Read a taken bundle into memory and empty its file; a second load fails.

        Raises:
            CorrelationReusedError: it was loaded before.
            CorrelationMismatchError: the file is damaged or belongs to another model, peer or layout.
        """
        bundle = Bundle(layout)
        try:
            file = open(self._path(material_id, "used"), "r+b")
        except FileNotFoundError:
            raise CorrelationMismatchError(f"material {material_id}: burned after it was taken") from None
        with file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise CorrelationReusedError(f"material {material_id}: expected unused, found used")
            header = file.read(HEADER_BYTES)
            if size != HEADER_BYTES + layout.nbytes or file.readinto(bundle.body.data) != layout.nbytes:
                raise CorrelationMismatchError(
                    f"material {material_id}: expected {HEADER_BYTES + layout.nbytes} bytes, found {size}"
                )
            file.truncate(0)
            os.fsync(file.fileno())
        check_header(f"material {material_id}", header, self._fields(material_id), bundle.body.data)
        return bundle

    def burn(self) -> int:
        """Delete all material; returns how many unused bundles there were."""
        return burn_folder(self._folder)

    def _fields(self, material_id: str) -> dict[str, str]:
        return {"what": "material", **self._binding, "epoch": self.epoch, "id": material_id}

    def _path(self, material_id: str, state: str) -> Path:
        if not _ID.fullmatch(material_id):
            raise CorrelationMismatchError("material id: expected 32 hexadecimal digits")
        return self._folder / f"{material_id}.{state}"


def unused_in(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files of unused material in one store's folder."""
    for path in folder.glob("*.ready"):
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue  # another process took it


def burn_folder(folder: Path) -> int:
    """Delete the material in one store's folder, durably; returns how many unused bundles there were."""
    unused = [path for path, _ in unused_in(folder)]
    for path in (*unused, *folder.glob("*.used"), *folder.glob(f".*{PART_SUFFIX}")):
        path.unlink(missing_ok=True)
    sync_folder(folder)
    return len(unused)
