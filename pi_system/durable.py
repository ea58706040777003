"""Files that a crash leaves whole or not at all, and that are on disk when the call returns.

Written under another name, synced, renamed, and the folder synced: after a power cut a name shows the old content or
the new one. Everything this package keeps is written here.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from pi_system.errors import StorageError

PART_SUFFIX = ".part"
"""Of files that are being written; after a crash they are rubbish."""
_PART_AGE_S: Final = 10.0  # between making a file and locking it
_STORAGE: Final = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
}


def private_folder(folder: Path) -> None:
    """Make ``folder`` if it is not there, and what it is in, all of mode 0700. Raises OSError."""
    for part in (*reversed(folder.parents), folder):
        if not part.is_dir():
            part.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def draft(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of ``path``, durably, when the block ends; an error leaves ``path`` alone.

    Raises OSError.
    """
    with _part(path, mode) as (part, file):
        yield file
        _sync(file)
        os.replace(part, path)
    sync_folder(path.parent)


def write_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make or replace ``path``. Raises OSError."""
    with draft(path, mode) as file:
        file.write(content)


@contextmanager
def new_draft(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """As ``draft``, under a name that is not taken: of several processes one gets it.

    Raises FileExistsError if it is there at the end, or another OSError.
    """
    with _part(path, mode) as (part, file):
        yield file
        _sync(file)
        os.link(part, path)  # unlike a rename it fails if another process was faster, and nobody sees half a file
    sync_folder(path.parent)


def create_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make ``path``; of several processes one does. Raises FileExistsError if it is there, or another OSError."""
    with new_draft(path, mode) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to disk: what was made, renamed or removed there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(root: Path) -> None:
    """Delete what crashes left of files that were being written anywhere under ``root``; others are at work."""
    eldest_s = time.time() - _PART_AGE_S
    for part in root.rglob(f".*{PART_SUFFIX}"):
        try:
            if modified_before(part, eldest_s) and not _held(part):
                part.unlink(missing_ok=True)
        except OSError:
            continue  # a disk that is read-only is told where something is written


def modified_before(path: Path, moment_s: float) -> bool:
    """Whether a file is there and was last written before a time, in seconds since 1970."""
    try:
        return path.stat().st_mtime < moment_s
    except FileNotFoundError:
        return False


def storage_error(error: OSError) -> StorageError | None:
    """``error`` if a disk is full, read-only, broken or not ours to write; None: it is about something else."""
    if error.errno not in _STORAGE:
        return None
    return StorageError(f"storage: {error.strerror}")


@contextmanager
def _part(path: Path, mode: int) -> Iterator[tuple[Path, IO[bytes]]]:
    part = path.with_name(f".{path.name}.{os.urandom(8).hex()}{PART_SUFFIX}")
    try:
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # for as long as it is written, which may take longer than it is young
            yield part, file
    finally:
        part.unlink(missing_ok=True)


def _held(part: Path) -> bool:
    """Whether a process that lives is writing it."""
    with part.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
