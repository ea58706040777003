"""What tells a file from its copy: when its inode was born, and on which machine.

A file can be put back with its name, content, owner, mode and times; the moment at which the file system made it
cannot. So a file that holds its own moment of birth knows that it was copied: by cp, rsync or tar, in place or anew,
from a backup or to another machine. What copies blocks (a snapshot of a volume rolled back, a cloned disk) takes the
birth along; of those only a clone under another machine id is seen. So does an overlay whose upper layer is thrown
away: a file of its lower layer, the store in a container's image, is born when the image was.

Linux tells the birth through statx(2), on ext4, XFS, btrfs and tmpfs; where there is none, the
inode's number stands in, which a copy may get again by chance.
"""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
_STATX_BYTES: Final = 256
_MACHINE_ID: Final = Path("/etc/machine-id")


def place_of(descriptor: int) -> str:
    """A name of the open file that no copy of it has."""
    birth_ns = _birth_ns(descriptor)
    file = f"born {birth_ns}" if birth_ns is not None else f"inode {os.fstat(descriptor).st_ino}"
    return f"{file}, machine {_machine()}"


def _birth_ns(descriptor: int) -> int | None:
    """Nanoseconds since 1970, None where the system does not tell."""
    statx = getattr(ctypes.CDLL(None), "statx", None)
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if statx is None or statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, found):
        return None
    (mask,) = struct.unpack_from("=I", found, 0)
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80)
    return seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else None


def _machine() -> str:
    try:
        return _MACHINE_ID.read_text().strip()
    except OSError:
        return "unknown"  # as in most containers
