"""Files that are erased once nobody reads them any more, in a thread of their own: nobody waits for the disk.

A file system takes 0.3 ms a megabyte to give pages back, as long as some backends' whole online phase; an answer is
there before. A process that ends in order waits for the rest (``finish``); one that is killed leaves what is left to
the file system, as it leaves everything.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

_Files = SimpleQueue[int | threading.Event]
"""Descriptors, each emptied and closed; an event is set when those before it are. Its ``put`` may meet itself in a
finaliser, which locks of Python's may not."""


class _Eraser:
    """The thread of one process."""

    def __init__(self) -> None:
        self.files: _Files = SimpleQueue()
        threading.Thread(target=self._work, name="eraser", daemon=True).start()

    def _work(self) -> None:
        while True:
            found = self.files.get()
            if isinstance(found, int):
                _empty(found)
            else:
                found.set()


_lock = threading.Lock()
_eraser: _Eraser | None = None


def erase_after(owner: object, descriptor: int) -> Callable[[], object]:
    """Empty the open file, whatever names it has, when ``owner`` is gone or the result is called.

    A fork of this process, which may still read, does not.
    """
    end = weakref.finalize(owner, _end, _files(), os.dup(descriptor), os.getpid())
    end.atexit = False  # other threads may still read
    return end


def finish() -> None:
    """Wait until everything is erased that has been let go in this process."""
    if _eraser is not None:
        done = threading.Event()
        _eraser.files.put(done)
        done.wait()


def _files() -> _Files | None:
    """Of this process's thread; None: it can have none, and who lets go erases."""
    global _eraser
    with _lock:
        if _eraser is None:
            try:
                _eraser = _Eraser()
            except RuntimeError:
                return None
            atexit.register(finish)
        return _eraser.files


def _forked() -> None:
    """A fork has no thread, and what is let go in its parent is not its own."""
    global _eraser, _lock
    _eraser, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)


def _end(files: _Files | None, descriptor: int, process: int) -> None:
    if os.getpid() != process:
        os.close(descriptor)
    elif files is None:
        _empty(descriptor)
    else:
        files.put(descriptor)


def _empty(descriptor: int) -> None:
    with suppress(OSError):  # a bad disk: the name and the header are gone already
        os.ftruncate(descriptor, 0)
    os.close(descriptor)
