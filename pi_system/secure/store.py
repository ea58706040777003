"""Offline material at rest: one file an inference, used once, marked used on disk before its first byte is sent.

    <root>/<role>/index.sqlite3                                                  what there is and was (secure/index.py)
                 /<artifact digest>/<backend>/<pairing id>/<material id>.ready   a bundle that nobody has loaded

Taking a bundle is a durable change of the index, atomic between processes. Loading one erases its file's header and
name; its body, which is mapped and read as it is used, is erased (secure/eraser.py) when nobody in this process can
read it any more, and without its header nobody else does. Material that was taken and never finished is burned, never
offered again. A bundle is written as it is made, under another name, on room that was reserved before. Files are mode
0600 in folders of mode 0700 and have the form of secure/kept.py; they are not encrypted, so the disk must be as trusted
as the process. A file says where it was written (secure/place.py), so a copy of it, such as a backup brings back, is
refused whatever the index says. What both sides' backups would offer a second time is found by secure/pairing.py.
"""

import mmap
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pi_system.durable import PART_SUFFIX, modified_before, new_draft, private_folder, remove_parts, sync_folder
from pi_system.errors import ConfigError, CorrelationMismatchError, CorrelationReusedError, LimitError
from pi_system.secure import place
from pi_system.secure.eraser import erase_after
from pi_system.secure.index import Index
from pi_system.secure.kept import HEADER_BYTES, check_header, seal
from pi_system.secure.layout import Bundle, BundleDraft, Layout

_ID = re.compile(r"[0-9a-f]{32}")
SETTLED_S: Final = 600.0
"""After that, what one side or the index lacks is no session's work in progress. Shorter: it may be, and that session
fails. Longer: leftovers stay."""


class MaterialStore:
    """The material of one party for one model, backend and peer.

    Attributes:
        index: of all material of this role.
        key: this store's in the index.
        epoch: what the two parties agreed on when they met (secure/pairing.py); material of another one is refused.
    """

    def __init__(self, root: Path, *, role: str, digest: str, backend: str, pairing_id: str, limit_bytes: int):
        """Open (and create) the folder; ``limit_bytes`` bounds what it may hold."""
        if not _ID.fullmatch(pairing_id):
            raise ConfigError("pairing id: expected 32 hexadecimal digits")
        self._binding = {"role": role, "digest": digest, "backend": backend, "pairing_id": pairing_id}
        self.key = f"{digest[:32]}/{backend}/{pairing_id}"
        self._folder = root / role / self.key
        private_folder(self._folder)
        self.index = Index(root / role)
        self._limit_bytes = limit_bytes
        self.epoch = ""

    def ids(self) -> list[str]:
        """Unused material, oldest first."""
        return list(self.index.unused(self.key))

    def check_room(self, nbytes: int) -> None:
        """Raise LimitError if ``nbytes`` more would pass the limit of this store, of its owner, or of all stores."""
        owner = self.index.owner(self._binding["pairing_id"])
        limits = [("material store", self._limit_bytes, self.index.held(key=self.key))]
        if owner is not None:
            limits = [(f"material of client {owner[0]}", owner[1], self.index.held(owner=owner[0]))]
        limits.append(("material of all clients", int(self.index.setting("room", 1e18)), self.index.held()))
        for what, limit, held in limits:
            if held + nbytes > limit:
                raise LimitError(
                    f"{what}: expected at most {limit} bytes, found {held} held and {nbytes} more asked for"
                )

    @contextmanager
    def making(self, material_id: str, layout: Layout) -> Iterator[BundleDraft]:
        """A bundle to fill; durably there under its new id when the block ends, and not at all after an error.

        Raises:
            CorrelationReusedError: the id is not new.
            LimitError: there is no room for it.
            CorrelationMismatchError: the store is burned meanwhile.
            OSError: of the disk, such as one that is full.
        """
        path, nbytes = self._path(material_id), HEADER_BYTES + layout.nbytes
        if self.index.state(self.key, material_id):
            raise CorrelationReusedError(f"material {material_id}: expected a new id, found one that there was")
        try:
            with new_draft(path) as file:
                os.posix_fallocate(file.fileno(), 0, nbytes)
                yield BundleDraft(layout, file.fileno(), HEADER_BYTES)
                self.check_room(nbytes)  # again: sessions beside it have stored theirs
                fields = {**self._fields(material_id), "place": place.place_of(file.fileno())}
                seal(file, fields)
        except FileExistsError:
            raise CorrelationReusedError(
                f"material {material_id}: expected a new id, found it stored meanwhile"
            ) from None
        except FileNotFoundError:
            raise CorrelationMismatchError(f"material {material_id}: burned while it was written") from None
        try:
            self.index.add(self.key, material_id, nbytes)
        except CorrelationReusedError:
            path.unlink(missing_ok=True)  # ours: the one of before was used, and erased, while this one was written
            raise

    def take(self, material_id: str) -> None:
        """Mark one bundle used, durably.

        Raises:
            CorrelationReusedError: it was taken before.
            CorrelationMismatchError: this store never held it.
        """
        self._path(material_id)
        self.index.take(self.key, [material_id])

    def take_next(self, count: int) -> tuple[str, ...]:
        """Mark the ``count`` oldest bundles used. Raises CorrelationExhaustedError: fewer are left, none is taken."""
        return self.index.take_next(self.key, count)

    def load(self, material_id: str, layout: Layout) -> Bundle:
        """Check a taken bundle, map it and erase its file, see above; a second load fails.

        Raises:
            CorrelationReusedError: it was loaded before.
            CorrelationMismatchError: the file is damaged, a copy, or belongs to another model, peer or layout.
        """
        path, nbytes = self._path(material_id), HEADER_BYTES + layout.nbytes
        try:
            file = open(path, "r+b")
        except FileNotFoundError:
            if self.index.state(self.key, material_id) == "used":
                raise CorrelationReusedError(f"material {material_id}: expected unused, found used") from None
            raise CorrelationMismatchError(f"material {material_id}: burned after it was taken") from None
        with file:
            size, fields = os.fstat(file.fileno()).st_size, self._fields(material_id)
            fields["place"] = place.place_of(file.fileno())
            header = file.read(HEADER_BYTES)
            if size != nbytes:
                raise CorrelationMismatchError(f"material {material_id}: expected {nbytes} bytes, found {size}")
            os.pwrite(file.fileno(), bytes(HEADER_BYTES), 0)
            os.fsync(file.fileno())
            path.unlink(missing_ok=True)
            try:
                mapping = mmap.mmap(file.fileno(), nbytes, mmap.MAP_PRIVATE)
            except ValueError:  # somebody cut it just now
                raise CorrelationMismatchError(f"material {material_id}: damaged: cut while it was loaded") from None
            end = erase_after(mapping, file.fileno())
            try:
                self.index.used(self.key, material_id)
                check_header(f"material {material_id}", header, fields, file)
            except BaseException:
                end()  # now, and not when the last frame that knows the mapping is gone
                raise
        return Bundle(layout, mapping, HEADER_BYTES)

    def discard(self, ids: Sequence[str]) -> None:
        """Burn bundles whose other halves nobody keeps."""
        for material_id in ids:
            self._path(material_id).unlink(missing_ok=True)
        self.index.burn(self.key, ids)

    def burn(self) -> int:
        """Delete all material; returns how many unused bundles there were."""
        return burn_store(self.index, self.key, self._folder)

    def _fields(self, material_id: str) -> dict[str, str]:
        return {"what": "material", **self._binding, "epoch": self.epoch, "id": material_id}

    def _path(self, material_id: str) -> Path:
        if not _ID.fullmatch(material_id):
            raise CorrelationMismatchError("material id: expected 32 hexadecimal digits")
        return self._folder / f"{material_id}.ready"


def burn_store(index: Index, key: str, folder: Path) -> int:
    """Delete the material in one store's folder and its rows; returns how many unused bundles there were."""
    files = list(folder.glob("*.ready"))
    count = index.forget(key)
    for path in (*files, *folder.glob("*.used"), *folder.glob(f".*{PART_SUFFIX}")):
        path.unlink(missing_ok=True)
    if folder.is_dir():
        sync_folder(folder)
    return len(files) if count is None else count  # a folder of an older version has files and no rows


def sweep(index: Index, key: str, folder: Path) -> tuple[int, int]:
    """Bring index and folder of one store together, after crashes and expiry.

    Returns:
        How many bundles were burned because they are expired or have no file, and how many files without a bundle
        were deleted.
    """
    remove_parts(folder)
    before_s = time.time() - SETTLED_S
    held = index.unused(key)  # before the files: a bundle's file is there before its row
    found = {path.stem: path for path in folder.glob("*.ready")}
    burned = index.burn(key, index.expired(key) | (held.keys() - found.keys()))
    deleted = 0
    for material_id in found.keys() - index.unused(key).keys() - set(index.taken_since(key, before_s)):
        if modified_before(found[material_id], before_s):
            found[material_id].unlink(missing_ok=True)
            deleted += 1
    return burned, deleted
