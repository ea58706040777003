"""How far ``pi-client`` is, on stderr: bars where that is a terminal, else now and then a line."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from typing import Final, Protocol

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pi_client.preparation import Preparation
from pi_system.errors import PiError

_POLL_S: Final = 0.2
_LAST_S: Final = 1.0
"""For a line that is being written. Longer: a pipe that nobody reads holds the call up."""
_SAY_S: Final = 10.0
"""Between the lines of a log. Shorter: one of an hour's preparation is long. Longer: who reads it takes it for dead."""


class Shows(Protocol):
    """What a call that prepares and answers tells of both phases, while the blocks run."""

    def preparing(self, ahead: Callable[[], Preparation]) -> AbstractContextManager[None]:
        """The offline phase, and who says of what."""

    def answering(self, done: int, total: int) -> AbstractContextManager[None]:
        """The online phase of a batch: how many inputs were answered before it, of ``total``."""


class Silent:
    """Shows nothing: programs that call the client have output of their own."""

    def preparing(self, ahead: Callable[[], Preparation]) -> AbstractContextManager[None]:
        """See Shows."""
        return nullcontext()

    def answering(self, done: int, total: int) -> AbstractContextManager[None]:
        """See Shows."""
        return nullcontext()


class Bars:
    """Shows a line a phase, which goes when the phase ends."""

    def preparing(self, ahead: Callable[[], Preparation]) -> AbstractContextManager[None]:
        """See Shows."""
        return shown(ahead, transient=True)

    @contextmanager
    def answering(self, done: int, total: int) -> Iterator[None]:
        """See Shows. Of one batch nothing more is known than that it runs: the spinner and the clock say so."""
        console = Console(stderr=True)
        if not console.is_terminal:
            yield
            return
        columns = (SpinnerColumn(), "online", MofNCompleteColumn(), "inputs", TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            bar.add_task("", total=total, completed=done)
            yield


@contextmanager
def shown(make: Callable[[], Preparation], *, transient: bool = False) -> Iterator[None]:
    """Show how many inferences are ready, and how many bytes have passed, for as long as the block runs.

    What is on disk is asked for instead of the protocol, so the line also sees what another process takes or adds.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        started_s, found = time.monotonic(), cache(make)  # planning takes time, which a short phase is spared
        with _every(_SAY_S, lambda: click.echo(found().line_after(time.monotonic() - started_s), err=True)):
            yield
        return
    ahead = make()
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=transient) as bar:
        line = bar.add_task(ahead.ready(), total=ahead.traffic)

        def update() -> None:
            bar.update(line, description=ahead.ready(), completed=ahead.passed())

        try:
            with _every(_POLL_S, update):
                yield
        finally:
            update()


@contextmanager
def _every(period_s: float, act: Callable[[], None]) -> Iterator[None]:
    """Run ``act`` in a thread of its own every so often, for as long as the block runs."""
    done = threading.Event()

    def follow() -> None:
        with suppress(PiError, OSError):  # the store is gone, or who read stderr: the call itself says what it means
            while not done.wait(period_s):
                act()

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_LAST_S)
