"""Ctrl-C where nothing is half done.

Python raises KeyboardInterrupt between any two instructions of the main thread: in a callback, which swallows it, or
where gRPC has just taken a lock, for which the clean-up then waits for ever. In a block of ``interruptible`` the first
Ctrl-C is noted, and raised where ``check`` is called: between messages, and in waits for a peer, which are cut into
parts for that. The second is raised at once, wherever that is; where even that does not help, as in a native kernel
or a lock that is lost, the process ends. What is on disk is whole at every moment, see durable.py.

Handlers of others are left alone: without these blocks, in other threads, or where a program handles or ignores
SIGINT itself, all of this does nothing. Imports nothing of the package: programs start with it.
"""

import os
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType, GeneratorType
from typing import Final

INTERRUPTED: Final = 130
"""Exit code of a program that Ctrl-C ended."""
PART_S: Final = 0.2
"""Part of a wait. Longer: Ctrl-C is noticed later. Shorter: a process that waits works."""
_SAY_S: Final = 3.0
"""How long the first Ctrl-C may go without effect until that is said. Shorter: also where all is well."""
_END_S: Final = 2.0
"""How long the second one may. Shorter: what it raised has no time to clean up. Longer: the user reaches for kill."""
_SAID: Final = b"stopping as soon as nothing is half done; Ctrl-C again: at once\n"

Block = Generator[None, None, None]
Known = weakref.ref[Block]

_asked = 0  # signals since ``noted``; signal handlers have no other state than the module's
# The block that put the handler in place, and the one that defers. Each is over when it is closed, or dropped by all,
# wherever a signal may have hit it: also between two lines of its clean-up, or before a ``with`` has it.
_notes: "Known | None" = None
_defers: "Known | None" = None


@contextmanager
def noted() -> Iterator[None]:
    """Note SIGINT in the block, and raise KeyboardInterrupt as Python does: what swallows it is found by ``check``."""
    global _notes
    handler = signal.getsignal(signal.SIGINT)
    left = handler is _on_signal and not _runs(_notes)
    if not _is_main() or not (left or handler is signal.default_int_handler):
        yield
        return
    block = _noting()
    _notes = weakref.ref(block)
    with _as_context(block):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block Ctrl-C raises KeyboardInterrupt where calls of a client can be left, and at once the second time.

    For the main thread; it replaces Python's own handler of SIGINT for as long as it runs, and no other. What catches
    the KeyboardInterrupt in the block meets it again at the next ``check``: the block is over.
    """
    global _defers
    with noted():
        if _runs(_defers) or not _is_main() or signal.getsignal(signal.SIGINT) is not _on_signal:
            yield
            return
        check()
        block = _deferring()
        _defers = weakref.ref(block)
        with _as_context(block):
            yield
        check()  # now that signals raise again, so that none comes between


def _noting() -> Block:
    global _asked
    _asked = 0
    try:
        signal.signal(signal.SIGINT, _on_signal)
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked = 0


def _deferring() -> Block:
    with _watched():
        yield


def _as_context(block: Block) -> AbstractContextManager[None]:
    make: Callable[[], AbstractContextManager[None]] = contextmanager(lambda: block)
    return make()


def _runs(known: Known | None) -> bool:
    block = known() if known else None
    return isinstance(block, GeneratorType) and block.gi_frame is not None


def asked() -> bool:
    """Whether Ctrl-C came: what is raised since may be its doing."""
    return _asked > 0 and _runs(_notes)


def check() -> None:
    """Raise KeyboardInterrupt in the main thread if Ctrl-C came: called where nothing is half done."""
    if asked() and _is_main():
        raise KeyboardInterrupt


def parts(timeout_s: float | None) -> Iterator[float | None]:
    """Timeouts of the parts of a wait, with a ``check`` before each; ``timeout_s``: of all, None: for ever."""
    if not (_runs(_defers) and _is_main()):
        yield timeout_s
        return
    until_s = None if timeout_s is None else time.monotonic() + timeout_s
    left_s = timeout_s
    while left_s is None or left_s > PART_S:
        check()
        yield PART_S
        left_s = None if until_s is None else until_s - time.monotonic()
    check()
    yield max(0.0, left_s)


def pause(seconds: float) -> None:
    """Sleep, unless Ctrl-C comes."""
    for part_s in parts(seconds):
        time.sleep(part_s or 0.0)


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    global _asked
    _asked += 1
    if not _runs(_defers) or _asked > 1:
        raise KeyboardInterrupt


@contextmanager
def _watched() -> Iterator[None]:
    """Have a thread see signals when they come, whatever the main thread is at."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    if before == -1:
        threading.Thread(target=_watch, args=(reads,), name="interrupts", daemon=True).start()
    else:  # somebody else's, as of an event loop
        signal.set_wakeup_fd(before)
        os.close(reads)
    try:
        yield
    finally:
        if before == -1:
            signal.set_wakeup_fd(-1)
        os.close(writes)


def _watch(reads: int) -> None:
    """Until the other end is closed: say that it takes long, and end the process where it does not end itself."""
    poll, count, patience_s = select.poll(), 0, -1.0
    poll.register(reads, select.POLLIN)
    while True:
        if not poll.poll(1000 * patience_s if patience_s > 0 else None):
            if count > 1:
                os.write(2, b"error: stopped\n")
                os._exit(INTERRUPTED)
            os.write(2, _SAID)
            patience_s = -1.0
            continue
        if not (numbers := os.read(reads, 64)):
            os.close(reads)
            return
        if came := numbers.count(signal.SIGINT):
            count += came
            patience_s = _SAY_S if count == 1 else _END_S
