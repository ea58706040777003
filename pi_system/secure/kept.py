"""The form of every file a party keeps between sessions: a header of 4096 bytes, then the body.

    magic, 8 bytes | XXH3-128 of text and body | length of text | text: what it is and whose, JSON | zeros | body

The digest finds damage (a bad disk, a file cut short, a stray write), not an adversary: whoever can write to the folder
is trusted like the process. So it is a fast one: an online phase begins with that of all its material. Text and body
are compared with what the reader expects before a byte of them is used.
"""

import errno
import hashlib
import json
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import xxhash

from pi_system.durable import create_file, draft
from pi_system.errors import CorrelationMismatchError
from pi_system.version import PROTOCOL_VERSION

HEADER_BYTES: Final = 4096
"""A page, so that a body can be mapped and is aligned."""
_WINDOW: Final = 16 << 20
"""Bytes mapped at once for a digest. Fewer: calls count. More: so much more in the resident set."""
_MADV_POPULATE_READ: Final = 22
"""Linux 5.14: what a disk cannot give is an error, where touching it ends the process."""

Fields = Mapping[str, Any]
"""What a file is: JSON values by name. The protocol's version is always among them."""
Body = bytes | memoryview | IO[bytes]
"""What is behind the header; of a file, which is read a window at a time."""


def write_kept(path: Path, fields: Fields, body: bytes | memoryview = b"") -> None:
    """Make or replace ``path``, durably, mode 0600. Raises OSError."""
    with draft(path) as file:
        file.writelines([kept_header(fields, body), body])


def seal(file: IO[bytes], fields: Fields) -> None:
    """Write the header in front of the body that ``file`` has behind HEADER_BYTES already."""
    file.flush()
    os.pwrite(file.fileno(), kept_header(fields, file), 0)


def create_kept(path: Path, fields: Fields, body: bytes) -> None:
    """Make ``path``, durably, mode 0600. Raises FileExistsError if it is there, or another OSError."""
    create_file(path, kept_header(fields, body) + body)


def read_kept(path: Path, fields: Fields) -> tuple[dict[str, Any], bytes]:
    """All fields and the body of a file that has ``fields``.

    Raises:
        OSError: it is not there or cannot be read.
        CorrelationMismatchError: it is damaged, of another protocol version, or of other ``fields``.
    """
    content = path.read_bytes()
    found = check_header(path.name, content[:HEADER_BYTES], fields, content[HEADER_BYTES:])
    return found, content[HEADER_BYTES:]


def check_kept(path: Path, fields: Fields) -> dict[str, Any]:
    """All fields of a file, of whose body nothing stays in memory; errors as ``read_kept``."""
    with path.open("rb") as file:
        return check_header(path.name, file.read(HEADER_BYTES), fields, file)


def check_header(what: str, header: bytes, fields: Fields, body: Body) -> dict[str, Any]:
    """All fields of a file with this header and body, which must have ``fields``; errors as ``read_kept``."""
    damaged = CorrelationMismatchError(f"{what}: damaged: expected content that fits its digest")
    form = next((form for form in (_FORM, _BEFORE) if header.startswith(form.magic)), None)
    if form is None or len(header) != HEADER_BYTES:
        raise damaged
    _, _, length = form.prefix.unpack_from(header)
    text = header[form.prefix.size : form.prefix.size + length]
    if header != form.header(text, body):
        raise damaged
    found = _object(text)
    if found is None:
        raise damaged
    for name, expected in _bound(fields).items():
        if found.get(name) != expected:
            raise CorrelationMismatchError(f"{what}: " + _difference(name, expected, found.get(name)))
    return found


def _object(text: bytes) -> dict[str, Any] | None:
    """None: no JSON object, which no program of this package wrote, whatever its digest says."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _difference(name: str, expected: Any, found: Any) -> str:
    """Only the version is told: a pairing id is known to nobody but its two parties."""
    if name == "protocol":
        return f"expected protocol version {expected}, found {found}"
    if name == "place":
        return "expected the file that was written here, found a copy: put back from a backup, or from another machine"
    return f"of another model, peer or use: expected the same {name}, found another"


def _bound(fields: Fields) -> dict[str, Any]:
    return {"protocol": PROTOCOL_VERSION, **fields}


def kept_header(fields: Fields, body: Body) -> bytes:
    """The header of a file with ``fields`` and ``body``."""
    text = json.dumps(_bound(fields), sort_keys=True).encode()
    return _FORM.header(text, body)


class _Form(NamedTuple):
    magic: bytes
    prefix: struct.Struct
    digest: Callable[[bytes], Any]

    def header(self, text: bytes, body: Body) -> bytes:
        digest = self.digest(text)
        if isinstance(body, bytes | memoryview):
            digest.update(body)
        else:
            for window in _windows(body.fileno()):
                digest.update(window)
        return (self.prefix.pack(self.magic, digest.digest(), len(text)) + text).ljust(HEADER_BYTES, b"\0")


_FORM: Final = _Form(b"PIKEPT\x00\x03", struct.Struct("<8s16sI"), xxhash.xxh3_128)
_BEFORE: Final = _Form(b"PIKEPT\x00\x02", struct.Struct("<8s32sI"), hashlib.sha256)
"""Read, and written no more: an upgrade loses neither identities nor what is prepared."""


def _windows(descriptor: int) -> Iterator[memoryview]:
    """The body of a file. Mapped: reading it takes as long as ten digests. Raises OSError."""
    size = os.fstat(descriptor).st_size
    for start in range(0, size, _WINDOW):
        try:
            mapping = mmap.mmap(descriptor, min(_WINDOW, size - start), access=mmap.ACCESS_READ, offset=start)
        except ValueError:
            raise OSError(errno.EIO, "cut short while it was read") from None
        with mapping, memoryview(mapping) as whole, whole[HEADER_BYTES if start == 0 else 0 :] as window:
            _populate(mapping)
            yield window


def _populate(mapping: mmap.mmap) -> None:
    try:
        mapping.madvise(_MADV_POPULATE_READ)
    except OSError as error:
        if error.errno != errno.EINVAL:  # an older kernel's, which does not know it
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from None
