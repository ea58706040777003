"""What a caller has as inputs, made the array that the network takes."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs import load_inputs
from pi_system.inputs.arrays import as_inputs

__all__ = ["Inputs", "read_inputs"]

Inputs: TypeAlias = str | PathLike[str] | Sequence[str | PathLike[str]] | ArrayLike | Any
"""A file or several (pictures, .npy, .csv: preprocessed as the artifact says), or an array or torch tensor: one input
or several, as the network takes them."""


def read_inputs(given: Inputs, preprocess: Preprocess) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The inputs (N, C, H, W) and a name for each.

    Raises:
        InputError: a file cannot be used, or an array has another shape or values that are not finite.
    """
    if isinstance(given, str | PathLike):
        return load_inputs([Path(given)], preprocess)
    if isinstance(given, list | tuple) and given and all(isinstance(one, str | PathLike) for one in given):
        return load_inputs([Path(one) for one in given], preprocess)
    inputs = as_inputs(_array(given), preprocess)
    return inputs, tuple(str(index) for index in range(len(inputs)))


def _array(given: Any) -> NDArray[Any]:
    try:
        if hasattr(given, "detach"):  # a torch tensor, without torch being loaded for it
            return np.asarray(given.detach().cpu().float().numpy())
        return np.asarray(given)
    except Exception as error:  # whatever an object does when it is asked for its values
        raise InputError(
            f"input: expected files, an array or a tensor, found {type(given).__name__}: {error}"
        ) from None
