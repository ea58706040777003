"""How far ``pi-client`` is: bars on stderr, where that is a terminal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

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

_POLL_S: Final = 0.2


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
        yield
        return
    ahead, done = make(), threading.Event()
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=transient) as bar:
        line = bar.add_task(ahead.ready(), total=ahead.traffic)

        def update() -> None:
            bar.update(line, description=ahead.ready(), completed=ahead.passed())

        def follow() -> None:
            while not done.wait(_POLL_S):
                update()

        thread = threading.Thread(target=follow, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            update()
