"""Offline material at rest: one file an inference, used once, marked used on disk before its first byte is sent.

    <root>/<role>/<artifact digest>/<backend>/<pairing id>/<material id>.ready   prepared
                                                           <material id>.used    taken; emptied once it is in memory

Taking a bundle renames it and syncs the folder, which is atomic between processes and survives a crash: material
that was taken and never finished is burned, never offered again. Files are mode 0600 in folders of mode 0700 and
carry a SHA-256 of header and body; they are not encrypted, so the disk must be as trusted as the process.
"""

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pi_system.errors import (
    ConfigError,
    CorrelationExhaustedError,
    CorrelationMismatchError,
    CorrelationReusedError,
)
from pi_system.offline.layout import Bundle, Layout

__all__ = ["HEADER_BYTES", "MaterialStore"]

_MAGIC = b"PIMAT\x00\x00\x01"
HEADER_BYTES = 4096
_ID = re.compile(r"[0-9a-f]{32}")


class MaterialStore:
    """The material of one party for one model, backend and peer."""

    def __init__(self, root: Path, *, role: str, digest: str, backend: str, pairing_id: str, limit_bytes: int):
        """Open (and create) the folder; ``limit_bytes`` bounds what it may hold."""
        if not _ID.fullmatch(pairing_id):
            raise ConfigError("pairing id: expected 32 hexadecimal digits")
        self._binding = {"role": role, "digest": digest, "backend": backend, "pairing_id": pairing_id}
        self._folder = root / role / digest[:32] / backend / pairing_id
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit_bytes = limit_bytes

    def ids(self) -> list[str]:
        """Unused material, oldest first."""
        return [path.stem for _, path in sorted((found.st_mtime_ns, path) for path, found in self._ready())]

    def check_room(self, nbytes: int) -> None:
        """Raise ConfigError if ``nbytes`` more would pass the store's limit."""
        held = sum(found.st_size for _, found in self._ready())
        if held + nbytes > self._limit_bytes:
            raise ConfigError(
                f"material store: expected at most {self._limit_bytes} bytes, "
                f"found {held} held and {nbytes} more asked for"
            )

    def put(self, material_id: str, bundle: Bundle) -> None:
        """Write one bundle durably under a new id."""
        path = self._path(material_id, "part")
        header = self._header(material_id, bundle)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(header)
            file.write(bundle.body.data)
            file.flush()
            os.fsync(file.fileno())
        path.rename(self._path(material_id, "ready"))
        self._sync()

    def take(self, material_id: str) -> None:
        """Mark one bundle used, durably.

        Raises:
            CorrelationReusedError: it was taken before.
            CorrelationMismatchError: this store never held it.
        """
        used = self._path(material_id, "used")
        try:
            self._path(material_id, "ready").rename(used)
        except FileNotFoundError:
            if used.exists():
                raise CorrelationReusedError(f"material {material_id}: expected unused, found used") from None
            raise CorrelationMismatchError(f"material {material_id}: not held for this model and peer") from None
        self._sync()

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
        path = self._path(material_id, "used")
        bundle = Bundle(layout)
        with open(path, "r+b") as file:
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
        if header != self._header(material_id, bundle):
            raise CorrelationMismatchError(f"material {material_id}: damaged, or of another model or peer")
        return bundle

    def _ready(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob("*.ready"):
            try:
                yield path, path.stat()
            except FileNotFoundError:
                continue  # another process took it

    def _header(self, material_id: str, bundle: Bundle) -> bytes:
        fields: dict[str, Any] = {**self._binding, "id": material_id, "nbytes": bundle.layout.nbytes}
        text = json.dumps(fields, sort_keys=True).encode()
        digest = hashlib.sha256(text)
        digest.update(bundle.body.data)
        header = _MAGIC + digest.digest() + struct.pack("<I", len(text)) + text
        return header.ljust(HEADER_BYTES, b"\0")

    def _path(self, material_id: str, state: str) -> Path:
        if not _ID.fullmatch(material_id):
            raise CorrelationMismatchError("material id: expected 32 hexadecimal digits")
        return self._folder / f"{material_id}.{state}"

    def _sync(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
