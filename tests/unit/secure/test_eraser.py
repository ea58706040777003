"""Files are emptied behind whoever let them go: not before, not in forks, and before an orderly end."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pi_system.secure import eraser

LEAVES = """
import sys
from pathlib import Path
from pi_system.secure.eraser import erase_after
class Owner: pass
owner = Owner()
with Path(sys.argv[1]).open("r+b") as file:
    erase_after(owner, file.fileno())
del owner
"""


class Owner:
    pass


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "kept"
    path.write_bytes(bytes(1000))
    return path


def owned(path: Path) -> tuple[Owner, Callable[[], object]]:
    owner = Owner()
    with path.open("r+b") as file:
        return owner, eraser.erase_after(owner, file.fileno())


def test_it_is_emptied_when_its_owner_is_gone_and_not_before(kept: Path) -> None:
    owner, _ = owned(kept)
    eraser.finish()
    assert kept.stat().st_size == 1000
    del owner
    eraser.finish()
    assert kept.stat().st_size == 0


def test_it_is_emptied_when_that_is_asked_for(kept: Path) -> None:
    owner, end = owned(kept)
    end()
    eraser.finish()
    assert kept.stat().st_size == 0
    del owner


def test_who_lets_go_does_not_wait(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, truncate = threading.Event(), os.ftruncate

    def slow(descriptor: int, size: int) -> None:
        free.wait(30)
        truncate(descriptor, size)

    monkeypatch.setattr(os, "ftruncate", slow)
    owner, _ = owned(kept)
    del owner
    assert kept.stat().st_size == 1000
    free.set()
    eraser.finish()
    assert kept.stat().st_size == 0


def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a process has as many as it may."""

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(eraser, "_eraser", None)
    monkeypatch.setattr(threading.Thread, "start", none)


@pytest.mark.parametrize("threads", [True, False])
def test_a_fork_empties_nothing_of_its_parent_and_what_is_its_own(
    kept: Path, tmp_path: Path, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not threads:
        no_threads(monkeypatch)
    owner, end = owned(kept)
    other = tmp_path / "other"
    other.write_bytes(bytes(1000))

    def forked(said: Any) -> None:
        end()
        own, _ = owned(other)
        del own
        eraser.finish()
        said.send((kept.stat().st_size, other.stat().st_size))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=forked, args=(theirs,))
    process.start()
    assert ours.poll(30)
    assert ours.recv() == (1000, 0)
    process.join(30)
    del owner
    eraser.finish()
    assert kept.stat().st_size == 0


def test_an_orderly_end_waits_for_what_is_left(kept: Path) -> None:
    subprocess.run([sys.executable, "-c", LEAVES, str(kept)], check=True, timeout=60)
    assert kept.stat().st_size == 0


def test_a_process_without_threads_erases_itself(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_threads(monkeypatch)
    owner, _ = owned(kept)
    del owner
    assert kept.stat().st_size == 0
    eraser.finish()


def test_a_disk_that_fails_ends_nothing(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truncate, failed = os.ftruncate, list[int]()

    def broken(descriptor: int, size: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(5, "Input/output error")
        truncate(descriptor, size)

    monkeypatch.setattr(os, "ftruncate", broken)
    other = tmp_path / "other"
    other.write_bytes(bytes(1000))
    for path in (kept, other):
        owner, _ = owned(path)
        del owner
    eraser.finish()
    assert (kept.stat().st_size, other.stat().st_size) == (1000, 0)
