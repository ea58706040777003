"""Any PNG, JPEG, TIFF or DICOM to the network's input, as the artifact's Preprocess says; numpy and Pillow only.

A picture is untrusted input: its size is checked before a pixel is decoded, and whatever Pillow stumbles over becomes
one InputError.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs.dicom import is_dicom, read_dicom
from pi_system.inputs.files import check_file

MAX_PIXELS: Final = 64_000_000
"""Larger: a decompression bomb costs gigabytes. Smaller: large photographs are refused."""
_INTERPRETATION: Final = 262
"""TIFF's PhotometricInterpretation: 0 says that white is 0."""
_WHITE: Final = (255, 255, 255, 255)
_BROKEN: Final = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,  # what Pillow raises for a broken PNG
    EOFError,
    OverflowError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
    Warning,
    Image.DecompressionBombError,
)


def load_pictures(paths: list[Path], preprocess: Preprocess) -> NDArray[np.float32]:
    """The pictures as (N, C, H, W), preprocessed. Raises InputError, which names the picture."""
    if not paths:
        raise InputError("picture: expected at least one")
    return np.stack([load_picture(path, preprocess) for path in paths])


def load_picture(path: Path, preprocess: Preprocess) -> NDArray[np.float32]:
    """One picture as (C, H, W), preprocessed. Raises InputError, which names the picture."""
    with _opened(path) as picture:
        return _to_input(picture, preprocess)


def decode_picture(data: bytes, preprocess: Preprocess, what: str) -> NDArray[np.float32]:
    """The bytes of a PNG, JPEG or TIFF file as (C, H, W), preprocessed. Raises InputError, which names ``what``.

    One call at a time in a process: Pillow's warnings, which it turns into errors, are of all threads.
    """
    with _named(what, "PNG, JPEG or TIFF"), _decoded(BytesIO(data)) as picture:
        return _to_input(picture, preprocess)


def load_image(image: Image.Image, preprocess: Preprocess) -> NDArray[np.float32]:
    """A picture in memory as (C, H, W), preprocessed. Raises InputError."""
    if preprocess.channels not in (1, 3):
        raise InputError(
            f"picture: expected an array, the network takes {preprocess.channels} channels; found a picture"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _to_input(_upright(image), preprocess)
    except _BROKEN as error:
        raise InputError(f"picture: expected a whole one, found that it cannot be read: {error}") from None


def check_picture(path: Path) -> None:
    """Decode a picture, for nothing but that it can be. Raises InputError, which names the picture."""
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The decoded picture, upright. Raises InputError, which names it, for what is done with it, too."""
    check_file(path, "a picture")
    with _named(str(path), "PNG, JPEG, TIFF or DICOM"):
        if is_dicom(path):
            yield read_dicom(path, MAX_PIXELS)
            return
        with _decoded(path) as picture:
            yield picture


@contextmanager
def _named(what: str, kinds: str) -> Iterator[None]:
    """Whatever is wrong with a picture in the block becomes an InputError that names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    except UnidentifiedImageError:
        raise InputError(f"{what}: expected a {kinds} picture, found something else") from None
    except _BROKEN as error:
        raise InputError(f"{what}: expected a whole picture, found that it cannot be read: {error}") from None


@contextmanager
def _decoded(source: Path | BytesIO) -> Iterator[Image.Image]:
    """A PNG, JPEG or TIFF, upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of bombs and of damaged metadata
        warnings.filterwarnings("ignore", "Metadata Warning")  # of tags that no picture needs
        with Image.open(source, formats=("PNG", "JPEG", "TIFF")) as opened:
            _check_tiff(opened)
            yield _upright(opened)


def _check_tiff(opened: Image.Image) -> None:
    """Refuse what would silently become another picture: the first page alone, or values of an unknown range."""
    if opened.format != "TIFF":
        return
    if (pages := getattr(opened, "n_frames", 1)) != 1:
        raise InputError(f"expected a TIFF file of one picture, found {pages}")
    if opened.mode in ("I", "F") or (opened.mode.startswith("I") and opened.getexif().get(_INTERPRETATION) == 0):
        raise InputError(f"expected a TIFF picture of 8 bits, or 16 with black as 0, found {opened.mode}: make it .npy")


def _upright(opened: Image.Image) -> Image.Image:
    """The decoded picture in 8-bit grey, RGB or RGBA, rotated by its EXIF orientation."""
    if not 0 < opened.width * opened.height <= MAX_PIXELS:
        raise InputError(f"expected at most {MAX_PIXELS} pixels, and one, found {opened.width} x {opened.height}")
    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I") or picture.mode == "F":  # 16-bit grey: convert() would clip, not scale
        grey = np.asarray(picture, dtype=np.float32) / 257.0
        return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    return picture


def _flat(picture: Image.Image) -> Image.Image:
    """Transparency over white."""
    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer).convert("RGB")


def _to_input(picture: Image.Image, preprocess: Preprocess) -> NDArray[np.float32]:
    """Convert, crop, resize, normalise: (C, H, W)."""
    converted = _flat(picture).convert("L" if preprocess.channels == 1 else "RGB")
    target = (preprocess.width, preprocess.height)
    if converted.size != target:
        # Resizing the centred box that maps onto the target equals resizing, then cropping, and stays small.
        converted = converted.resize(target, Image.Resampling.BILINEAR, box=_centre_box(converted.size, target))
    values = np.asarray(converted, dtype=np.float32) / np.float32(255)  # (H, W) or (H, W, C)
    if preprocess.invert and values.mean() > 0.5:
        values = 1 - values
    planes = values.reshape(preprocess.height, preprocess.width, preprocess.channels).transpose(2, 0, 1)
    mean = np.array(preprocess.mean, np.float32)[:, None, None]
    std = np.array(preprocess.std, np.float32)[:, None, None]
    return np.ascontiguousarray((planes - mean) / std)


def _centre_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest centred box (left, top, right, bottom) of a picture that has the target's proportions."""
    scale = min(size[0] / target[0], size[1] / target[1])
    width, height = min(target[0] * scale, size[0]), min(target[1] * scale, size[1])
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height
