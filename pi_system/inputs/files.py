"""Which files are meant by what was given: a file, all inputs of a folder, or those that a pattern matches."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pi_system.errors import InputError

ARRAY_SUFFIXES: Final = (".npy", ".csv")
PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
"""What is taken of a folder; a file that is named itself is looked into, whatever it is called."""
_KINDS: Final = "PNG, JPEG, TIFF, DICOM (.dcm), .npy or .csv files"


def find_files(given: Sequence[Path]) -> list[Path]:
    """The files meant: of a folder, and of a pattern (``*``, ``?``, ``[]``), the inputs in it, sorted by name.

    Folders in folders and hidden files are left out. A file whose name reads like a pattern is that file.

    Raises:
        InputError: a folder or a pattern has none; a file that does not exist is told where it is read.
    """
    return [file for path in given for file in _found(path)]


def _found(path: Path) -> list[Path]:
    if path.is_dir():
        return _inputs(path.iterdir(), f"{path}: expected {_KINDS} in the folder, found none")
    if glob.has_magic(str(path)) and not path.exists():
        return _inputs(map(Path, glob.glob(str(path))), f"{path}: expected {_KINDS} that match, found none")
    return [path]


def _inputs(paths: Iterable[Path], none: str) -> list[Path]:
    kinds = (*PICTURE_SUFFIXES, *ARRAY_SUFFIXES)
    found = sorted(path for path in paths if path.suffix.lower() in kinds and not path.name.startswith("."))
    files = [path for path in found if path.is_file()]
    if not files:
        raise InputError(none)
    return files


def check_file(path: Path, what: str) -> None:
    """Raise InputError unless ``path`` is a file; ``what`` was expected."""
    if not path.is_file():
        raise InputError(f"{path}: expected {what}, found {'a folder' if path.is_dir() else 'no such file'}")
