"""What logs and stores of both sides say afterwards: which material was used, and what has no other half."""

import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from measuring.question import Sample

from pi_system.durable import PART_SUFFIX
from pi_system.secure.index import INDEX_FILE, Index

_USES: Final = re.compile(r"\buses ((?:[0-9a-f]{48} ?)+)")
_LOST: Final = "prepare anew"
"""In the log of who finds no record of uses, or one that does not fit."""
SERVER: Final = "server-store/server"


def age(folder: Path, by_s: float) -> None:
    """Put back when everything in the stores was made and used."""
    for index in folder.rglob(INDEX_FILE):
        with sqlite3.connect(index) as db:
            db.execute("UPDATE material SET made_s = made_s - ?, changed_s = changed_s - ?", (by_s, by_s))
        db.close()
    for path in [*folder.rglob("*.ready"), *folder.rglob(f".*{PART_SUFFIX}")]:
        seen = path.stat()
        os.utime(path, (seen.st_atime - by_s, seen.st_mtime - by_s))


def uses(lines: Iterable[str]) -> list[str]:
    """The names in a log's lines of uses: number and material, as often as they are there."""
    return [name for line in lines for found in _USES.findall(line) for name in found.split()]


def found_in(folder: Path, server_logs: Iterable[Path], client_log: Path) -> Sample:
    """Counts of what should not be; all are 0 where nothing was used twice or left over."""
    server_lines = [line for log in server_logs for line in log.read_text(errors="replace").splitlines()]
    client_lines = client_log.read_text().splitlines()
    server, client = uses(server_lines), uses(client_lines)
    entries = [json.loads(line) for line in server_lines if line.startswith("{")]
    return {
        "uses": len(client),
        "server_uses": len(server),
        "used_twice": _twice(server) + _twice(client),
        "foreign": len(set(server) - set(client)),
        "burned": sum(_LOST in line for line in [*server_lines, *client_lines]),
        "tracebacks": sum("exception" in entry for entry in entries),
        "leftovers": (left := leftovers(folder)),
        "unpaired": sum(left.values()),
    }


def _twice(names: Iterable[str]) -> int:
    """Bundles that are there more often than once, under whatever number."""
    return sum(count - 1 for count in Counter(name[16:] for name in names).values())


def leftovers(folder: Path) -> dict[str, int]:
    """Bundles of one side only, and files that are none's."""
    server = Index(folder / SERVER)
    clients = {key: (path, index) for path, index in _clients(folder) for key in index.keys()}
    halves = 0
    for key in {*clients, *server.keys()}:
        theirs = clients[key][1].unused(key) if key in clients else {}
        halves += len(theirs.keys() ^ server.unused(key).keys())
    roots = [(folder / SERVER, server), *dict(clients.values()).items()]
    files = sum(len(_without_row(root, index)) for root, index in roots)
    return {"halves": halves, "files": files, "parts": len([*folder.rglob(f".*{PART_SUFFIX}")])}


def _clients(folder: Path) -> list[tuple[Path, Index]]:
    return [(path, Index(path)) for path in sorted(folder.glob("client-*/client"))]


def _without_row(root: Path, index: Index) -> set[str]:
    """Files of bundles that are not in the index as unused, and bundles without a file."""
    listed = {f"{key}/{name}.ready" for key in index.keys() for name in index.unused(key)}
    return listed ^ {str(path.relative_to(root)) for path in root.rglob("*.ready")}
