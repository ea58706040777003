"""Calibration inputs from files: a folder of pictures, a .npy or a .csv file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import ConfigError, InputError
from pi_system.export.compile import MAX_CALIBRATION, make_preprocess
from pi_system.inputs import load_inputs
from pi_system.inputs.arrays import read_arrays
from pi_system.inputs.files import ARRAY_SUFFIXES, PICTURE_SUFFIXES


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What is said of the inputs besides the files.

    Attributes:
        size: height and width of pictures; None: a file of arrays says it.
        channels: of pictures.
        mean: one value a channel, or one for all.
        std: likewise.
    """

    size: tuple[int, int] | None = None
    channels: int = 3
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Inputs as the network takes them, (N, C, H, W), (N, C, L) or of rows (N, features), and how files become such."""

    inputs: NDArray[np.float32]
    preprocess: Preprocess


def read_calibration(path: Path, geometry: Geometry) -> CalibrationSet:
    """At most MAX_CALIBRATION inputs, spread evenly over the folder or the file.

    Raises:
        InputError: there are none, or one cannot be used.
        ConfigError: the geometry is missing or does not fit.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _arrays(path, geometry)
    files = (
        [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURE_SUFFIXES)
    )
    if not files:
        raise InputError(f"{path}: expected a folder of PNG, JPEG, TIFF or DICOM pictures, or a .npy or .csv file")
    if geometry.size is None:
        raise ConfigError("size: expected height and width of the network's pictures, found none")
    preprocess = _preprocess(geometry, (geometry.channels, *geometry.size))
    inputs, _ = load_inputs([files[index] for index in _spread(len(files))], preprocess)
    return CalibrationSet(inputs, preprocess)


def _arrays(path: Path, geometry: Geometry) -> CalibrationSet:
    shape = read_arrays(path).shape
    if len(shape) not in (2, 3, 4) or shape[0] == 0:
        raise InputError(f"{path}: expected inputs (N, C, H, W), (N, C, L) or rows (N, features), found {shape}")
    preprocess = _preprocess(geometry, (*shape[1:], 1, 1)[:3])
    inputs, _ = load_inputs([path], preprocess)
    chosen = inputs[_spread(len(inputs))]
    return CalibrationSet(chosen.reshape(-1, *shape[1:]), preprocess)


def _spread(count: int) -> list[int]:
    return [int(index) for index in np.linspace(0, count - 1, min(count, MAX_CALIBRATION))]


def _preprocess(geometry: Geometry, shape: tuple[int, ...]) -> Preprocess:
    """With one class, whose name comes later."""
    return make_preprocess({"mean": geometry.mean, "std": geometry.std}, shape, ("class",))
