"""What every call of the API promises: errors of this package alone."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from pi_system.durable import storage_error
from pi_system.errors import ConfigError, InputError, StorageError

_MOST_S = 1e8
"""Three years: what nothing that waits takes for an error of its own."""


@contextmanager
def typed() -> Iterator[None]:
    """An error of the file system that was not foreseen becomes typed, as at the command line.

    Raises:
        StorageError: in the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = f"storage: {error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise storage_error(error) or StorageError(reason) from error


def seconds(name: str, value: object) -> float:
    """``value`` as a time to wait. Raises ConfigError: it is none."""
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 < value <= _MOST_S:
        raise ConfigError(f"{name}: expected seconds, more than 0 and at most {_MOST_S:g}, found {value!r:.40}")
    return float(value)


def path(name: str, value: object) -> Path:
    """``value`` as a path. Raises InputError: it is none."""
    if not isinstance(value, str | PathLike) or "\0" in str(value):
        raise InputError(f"{name}: expected a path, found {type(value).__name__}")
    return Path(value)


def texts(name: str, value: object) -> list[str]:
    """``value``, a text or several, as a list. Raises ConfigError: it is neither."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not all(isinstance(one, str) and "\0" not in one for one in given):
        raise ConfigError(f"{name}: expected text, or a list of it, found {value!r:.40}")
    return list(given)
