"""Arrays in .npy and .csv files as a network's inputs: raw values, normalised by channel as ``Preprocess`` says.

A .npy file holds one input (C, H, W) or several (N, C, H, W); axes of length one may be left out, and an input may be
flat, (C * H * W). Values of type uint8 are pixels, and are divided by 255 first, as those of a picture are. A .csv file
has an input a row, flat; a first row of names is left out.
"""

import csv
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs.files import check_file

MAX_ELEMENTS: Final = 1 << 28
"""Of a file. Larger: a file costs gigabytes before anything is sent. Smaller: fewer inputs a call."""


def load_arrays(path: Path, preprocess: Preprocess) -> NDArray[np.float32]:
    """The inputs in a .npy or .csv file as (N, C, H, W), preprocessed. Raises InputError, which names the file."""
    return as_values(read_arrays(path), preprocess, str(path))


def as_values(values: NDArray[Any], preprocess: Preprocess, what: str) -> NDArray[np.float32]:
    """Raw values of a file or a request as (N, C, H, W), preprocessed. Raises InputError, which names ``what``."""
    scale = 255.0 if values.dtype == np.uint8 else 1.0
    planes = shaped(values, preprocess, what).astype(np.float32) / np.float32(scale)
    mean, std = (np.array(of, np.float32)[:, None, None] for of in (preprocess.mean, preprocess.std))
    return _finite(np.asarray((planes - mean) / std, np.float32), what)


def as_inputs(values: NDArray[Any], preprocess: Preprocess) -> NDArray[np.float32]:
    """Arrays in memory, which are as the network takes them, as (N, C, H, W). Raises InputError."""
    if values.dtype.kind not in "fiub":
        raise InputError(f"input: expected an array of real numbers, found {values.dtype}")
    with np.errstate(over="ignore"):  # too large for float32 is not finite
        return _finite(shaped(values, preprocess, "input").astype(np.float32), "input")


def shaped(values: NDArray[Any], preprocess: Preprocess, what: str) -> NDArray[Any]:
    """One input or several, in any of the forms above, as (N, C, H, W). Raises InputError."""
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    line = shape[:2] if shape[1] > shape[2] == 1 else shape
    forms = (shape, line, tuple(size for size in shape if size > 1), (prod(shape),))
    if values.shape not in forms and values.shape[1:] not in forms:
        expected = " or ".join(dict.fromkeys(f"(N, {', '.join(map(str, form))})" for form in forms if form))
        raise InputError(f"{what}: expected inputs of shape {expected}, found {values.shape}")
    return values.reshape(-1, *shape)


def _finite(inputs: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    if len(inputs) == 0 or not np.isfinite(inputs).all():
        raise InputError(f"{what}: expected at least one input of finite values")
    return inputs


def read_arrays(path: Path) -> NDArray[Any]:
    """The numbers in a .npy or .csv file, as they are. Raises InputError."""
    check_file(path, "an array")
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_npy(path)


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        values = np.lib.format.open_memmap(path, mode="r")  # maps: nothing is read before its size is known
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: expected an array as numpy.save writes it, found none: {reason}") from None
    if values.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected an array of real numbers, found {values.dtype}")
    if values.size > MAX_ELEMENTS:
        raise InputError(f"{path}: expected at most {MAX_ELEMENTS} numbers, found {values.size}")
    return np.array(values)


def _read_csv(path: Path) -> NDArray[np.float64]:
    if path.stat().st_size > 32 * MAX_ELEMENTS:
        raise InputError(f"{path}: expected at most {MAX_ELEMENTS} numbers, found {path.stat().st_size} bytes")
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file), start=1):
                row = _numbers(cells)
                if row is None and number > 1:
                    raise InputError(f"{path}, line {number}: expected numbers with commas between them")
                if row:
                    rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file, found that it cannot be read: {error}") from None
    if not rows:
        raise InputError(f"{path}: expected rows of numbers with commas between them, found none")
    if len({len(row) for row in rows}) != 1:
        raise InputError(f"{path}: expected rows of the same length, found {sorted({len(row) for row in rows})[:5]}")
    return np.array(rows, np.float64)


def _numbers(cells: list[str]) -> list[float] | None:
    """The numbers of a row; None: it has something else."""
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None
