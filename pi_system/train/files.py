"""Writing files so that a crash leaves the old content or the new one, never half of it."""

from pathlib import Path

from pi_system.durable import write_file
from pi_system.errors import InputError
from pi_system.train.parallel import is_first


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace a file's content in one step; the folder is made if it is missing.

    Of several processes that train together only the first one writes.

    Raises:
        InputError: the file cannot be written there.
    """
    if not is_first():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content.encode() if isinstance(content, str) else content, mode=0o644)
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to; {error.strerror}") from error
