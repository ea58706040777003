"""What a caller has as inputs, made the array that the network takes."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs import check_inputs, find_files, load_image, load_inputs
from pi_system.inputs.arrays import as_inputs

__all__ = ["Inputs", "check_files", "read_inputs"]

Inputs: TypeAlias = str | PathLike[str] | Image.Image | Sequence[str | PathLike[str] | Image.Image] | ArrayLike | Any
"""Files (pictures, .npy, .csv), folders and patterns of them, or pictures of Pillow, preprocessed as the artifact says;
or an array or torch tensor: one input or several, as the network takes them."""


def read_inputs(given: Inputs, preprocess: Preprocess) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The inputs (N, C, H, W) and a name for each.

    Raises:
        InputError: a file cannot be used, or an array has another shape or values that are not finite.
    """
    several = _several(given)
    if files := _files(several):
        return load_inputs(files, preprocess)
    if several and all(isinstance(one, Image.Image) for one in several):
        inputs = np.stack([load_image(one, preprocess) for one in several])
    else:
        inputs = as_inputs(_array(given), preprocess)
    return inputs, tuple(str(index) for index in range(len(inputs)))


def check_files(given: Inputs) -> None:
    """Read what is a file, before anybody is dialled. Raises InputError, which names it."""
    check_inputs(_files(_several(given)))


def _several(given: Inputs) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _files(several: list[Any]) -> list[Path]:
    """Those meant, if all are names of files; else none."""
    if not all(isinstance(one, str | PathLike) for one in several):
        return []
    return find_files([_path(one) for one in several])


def _path(given: str | PathLike[str]) -> Path:
    if "\0" in str(given):
        raise InputError("input: expected the name of a file, found a zero byte in it")
    return Path(given)


def _array(given: Any) -> NDArray[Any]:
    """The numbers of an array, a nested list or a torch tensor, without torch being loaded for it."""
    try:
        if not hasattr(given, "detach"):
            return np.asarray(given)
        tensor = given.detach().cpu()
        return np.asarray((tensor if tensor.is_complex() else tensor.float()).numpy())
    except Exception as error:  # whatever an object does when it is asked for its values
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(
            f"input: expected files, an array or a tensor, found {type(given).__name__}: {reason}"
        ) from None
