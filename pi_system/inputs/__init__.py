"""Files to a network's inputs, as the artifact's ``Preprocess`` says: pictures, and arrays in .npy and .csv files.

Untrusted: sizes are checked before anything is decoded, and whatever is wrong is one InputError. No torch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs.arrays import load_arrays, read_arrays
from pi_system.inputs.files import ARRAY_SUFFIXES, find_files
from pi_system.inputs.picture import check_picture, load_image, load_picture
from pi_system.interrupts import check

__all__ = ["check_inputs", "find_files", "load_image", "load_inputs"]


def load_inputs(paths: Sequence[Path], preprocess: Preprocess) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The inputs in files, preprocessed, and a name for each: a file of arrays may hold several.

    Returns:
        (N, C, H, W), and N names: the path, for one of several ``path[index]``.

    Raises:
        InputError: a file cannot be used; the message names it.
    """
    if not paths:
        raise InputError("input: expected at least one file")
    parts = []
    for path in paths:
        check()
        parts.append(_load(path, preprocess))
    names = [
        str(path) if len(part) == 1 else f"{path}[{index}]"
        for path, part in zip(paths, parts, strict=True)
        for index in range(len(part))
    ]
    return np.concatenate(parts), tuple(names)


def check_inputs(paths: Sequence[Path]) -> None:
    """Read every file, for nothing but that it can be: before anybody is asked what the network takes.

    Raises InputError, which names the file.
    """
    for path in paths:
        if path.suffix.lower() in ARRAY_SUFFIXES:
            read_arrays(path)
        else:
            check_picture(path)


def _load(path: Path, preprocess: Preprocess) -> NDArray[np.float32]:
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return load_arrays(path, preprocess)
    if preprocess.channels not in (1, 3):
        raise InputError(
            f"{path}: expected a .npy or .csv file: the network takes {preprocess.channels} channels, a picture 1 or 3"
        )
    return load_picture(path, preprocess)[None]
