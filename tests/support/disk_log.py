"""What of a folder is on disk at a moment: follows fsync, rename, replace and link of the process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class DiskLog:
    """While a test runs with it, ``check`` tells whether a power cut now would lose something.

    Attributes:
        named: (folder, name) of every file that got its name by a rename, a replace or a link, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.named: list[tuple[str, str]] = []
        self._synced: set[int] = set()
        self._early: list[str] = []
        self._pending: set[str] = set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._on_fsync)
        for call in ("rename", "replace", "link"):
            monkeypatch.setattr(os, call, self._naming(getattr(os, call)))

    def check(self, under: Path, count: int, suffix: str) -> None:
        """``count`` files of ``suffix`` were named under the folder; they and all else there survive a power cut."""
        found = [name for folder, name in self.named if folder.startswith(str(under)) and name.endswith(suffix)]
        assert len(found) == count, found
        assert not [path for path in self._early if path.startswith(str(under))], "named before its content was synced"
        assert not [path for path in self._pending if path.startswith(str(under))], "folder not synced after a rename"

    def _on_fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(path):
            self._pending.discard(path)
        else:
            self._synced.add(os.fstat(descriptor).st_ino)

    def _naming(self, call: Callable[..., None]) -> Callable[..., None]:
        def named(source: str | Path, target: str | Path, **options: Any) -> None:
            inode = os.stat(source).st_ino
            call(source, target, **options)
            folder, name = os.path.split(os.fspath(target))
            self.named.append((folder, name))
            self._pending.add(os.path.realpath(folder))
            if inode not in self._synced:
                self._early.append(os.fspath(target))

        return named
