"""What the client does while a server has no place for it: says so, now and then, on stderr."""

import time
from typing import Final

import click

from pi_system.errors import BusyError

_EVERY_S: Final = 5.0


class BusyLines:
    """Called at every refusal; prints the first one, and then one every few seconds."""

    def __init__(self) -> None:
        """Nothing was printed yet."""
        self._due_s = 0.0

    def __call__(self, busy: BusyError) -> None:
        """Print, if it is time."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + _EVERY_S
            click.echo(f"{busy}; asking again in {busy.retry_s:.1f} s", err=True)
