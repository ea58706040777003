"""DICOM files as pictures: what a viewer shows at first, in 8 bits. Needs pydicom (the extra ``dicom``).

Grey: stored values through the modality transform (rescale, or its table), then the first window or table for viewing;
without either, the picture's own range. MONOCHROME1 is turned round, so that more is lighter. Colour: RGB, and what
becomes RGB without loss of meaning. Nothing but pixels is read out of a file, and nothing of its header is told.

Source: DICOM PS3.3, C.11.1 (modality) and C.11.2 (values of interest).
"""

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pi_system.errors import InputError
from pi_system.extras import needs

_MAGIC_AT: Final = 128
_COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_FAR: Final = 1e30
"""Beyond any window: what it maps this to is the end of its range."""


def is_dicom(path: Path) -> bool:
    """Whether a file is one by its first bytes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(_MAGIC_AT + 4)[_MAGIC_AT:] == b"DICM"


def read_dicom(path: Path, max_pixels: int) -> Image.Image:
    """The picture in grey or RGB of 8 bits.

    Raises:
        MissingExtraError: pydicom is not installed.
        InputError: it is no single picture of at most ``max_pixels``, or cannot be read; the file is not named.
    """
    pydicom = _library()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what is unusual, and much is in files from machines
            return _picture(pydicom, path, max_pixels)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise InputError(f"expected a whole DICOM picture, found that it cannot be read: {_reason(error)}") from None


def _library() -> Any:
    with needs("dicom", "DICOM"):
        import pydicom
        import pydicom.pixels
    return pydicom


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _picture(pydicom: Any, path: Path, max_pixels: int) -> Image.Image:
    if pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID.is_deflated:
        raise InputError("expected a DICOM file that is not deflated")  # of any size, once inflated
    _check_header(pydicom.dcmread(path, stop_before_pixels=True), max_pixels)
    dataset = pydicom.dcmread(path)
    stored = pydicom.pixels.pixel_array(dataset)  # (H, W), or (H, W, 3) in RGB
    if dataset.SamplesPerPixel == 1:
        return Image.fromarray(_grey(pydicom.pixels, dataset, stored))
    return Image.fromarray(np.asarray(stored, np.uint8))


def _check_header(header: Any, max_pixels: int) -> None:
    frames, pixels = int(header.get("NumberOfFrames") or 1), int(header.Rows) * int(header.Columns)
    if frames != 1:
        raise InputError(f"expected a DICOM file of one picture, found {frames}")
    if not 0 < pixels <= max_pixels:
        raise InputError(f"expected at most {max_pixels} pixels, and one, found {header.Rows} x {header.Columns}")
    kind = str(header.PhotometricInterpretation)
    if not kind.startswith("MONOCHROME") and (kind not in _COLOURS or header.BitsAllocated != 8):
        raise InputError(f"expected a DICOM picture in grey or RGB of 8 bits, found {kind}, {header.BitsAllocated}")


def _grey(pixels: Any, dataset: Any, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as they are viewed: (H, W)."""
    values = pixels.apply_modality_lut(stored, dataset)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        low, high = pixels.apply_windowing(np.array([-_FAR, _FAR]), dataset)
        values = pixels.apply_windowing(values, dataset)
    elif table := dataset.get("VOILUTSequence"):
        low, high = 0, 2 ** int(table[0].LUTDescriptor[2]) - 1
        values = pixels.apply_voi(values, dataset)
    else:
        low, high = values.min(), values.max()
    shares = (np.asarray(values, np.float64) - low) / max(float(high) - float(low), np.finfo(np.float64).tiny)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    return np.asarray(np.rint(255 * np.clip(shares, 0, 1)), np.uint8)
