"""How far ``pi-client prepare`` is: a bar on stderr, where that is a terminal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

_POLL_S: Final = 0.2


@contextmanager
def shown(ready: Callable[[], int], total: int) -> Iterator[None]:
    """Show how many inferences are ``ready``, of ``total``, for as long as the block runs.

    What is on disk is asked for instead of the protocol, so the bar also sees what another process takes or adds.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    done = threading.Event()
    columns = ("prepared", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        line = bar.add_task("", total=total, completed=ready())

        def follow() -> None:
            while not done.wait(_POLL_S):
                bar.update(line, completed=ready())

        thread = threading.Thread(target=follow, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            bar.update(line, completed=ready())
