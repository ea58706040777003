"""A result on stdout, or where that cannot be written, on stderr: it has cost material that is not there any more."""

import sys

import click

from pi_system.errors import StorageError


def check_output() -> None:
    """Fail before anything is spent if stdout is closed. Raises StorageError."""
    if sys.stdout is None or sys.stdout.closed:
        raise StorageError("stdout: expected one for the result, found it closed")


def show(text: str) -> None:
    """Print ``text``. Raises StorageError: stdout did not take it, so it is on stderr."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        sys.stdout = None  # what it holds would be tried again at exit
        click.echo(text, err=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StorageError(f"stdout: {reason}; the result is on stderr") from None
