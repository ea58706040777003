"""How many cores the kernels of this process use.

A number of the process, as torch's and OpenMP's are: what a party computes does not depend on it, and no protocol hands
it on. Work that is too small for a second thread stays in one.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Protocol

from pi_system.kernels import _native

MAX_THREADS: Final[int] = _native.MAX_THREADS


def threads() -> int:
    """What was chosen, else the cores that this process may run on now."""
    return _native.threads()


def use_threads(count: int | None) -> None:
    """Use ``count`` cores from now on; None: those that this process may run on. Raises ValueError: out of range."""
    if count is not None and not 1 <= count <= MAX_THREADS:
        raise ValueError(f"threads: expected 1 to {MAX_THREADS}, found {count}")
    _native.set_threads(count or 0)


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """``use_threads`` for a block, after which nothing is chosen. Raises ValueError: out of range."""
    use_threads(count)
    try:
        yield
    finally:
        use_threads(None)


class Work(Protocol):
    """What several threads do side by side, where kernels let go of the interpreter."""

    def __call__(self, thread: int, items: Iterator[Any]) -> None:
        """Take ``items`` until there are none; others take of them, too. Only one call has this ``thread``."""


def share_out(items: Sequence[Any], work: Work) -> None:
    """Have every item worked on once, by this thread, which is number 0, and others. Raises what one of them does."""
    left = iter(items)
    others = min(threads(), len(items)) - 1
    if others < 1:
        work(0, left)
        return
    with ThreadPoolExecutor(others) as pool:
        found = [pool.submit(work, number, left) for number in range(1, others + 1)]
        work(0, left)
        for other in found:
            other.result()
