"""How many cores the kernels of this process use.

A number of the process, as torch's and OpenMP's are: what a party computes does not depend on it, and no protocol hands
it on. Work that is too small for a second thread stays in one. Where no number was chosen, kernels take of the cores
that this process may run on those that are idle as they begin: both parties may share a machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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
