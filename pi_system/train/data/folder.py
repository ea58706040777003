"""Trees of image folders, one a class, or as Tiny-ImageNet-200 has them.

Training pictures are in ``train/<class>/`` (or ``train/<class>/images/``), test pictures in ``test/<class>/``,
``val/<class>/`` or, as in Tiny-ImageNet, ``val/images/`` with labels in ``val/val_annotations.txt`` (its own
``test/`` has no labels). Where there is no second part, a fifth of each class is held out for the test by a
fixed seed. A tree without ``train/`` is read as class folders at the top. Every picture becomes RGB.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from pi_system.errors import InputError
from pi_system.train.data.dataset import ImageSet, split_by_class

_SUFFIXES = {".jpeg", ".jpg", ".png"}
_TEST_FRACTION = 0.2
_TEST_SEED = 2024
_LONGEST_NAME = 128  # of a class, in the artifact
Listing = list[tuple[Path, int]]
"""Pictures, each with its label."""


def read_folder(path: Path, size: int | None) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    """Read a tree.

    Args:
        path: its top.
        size: height and width every picture is brought to; None takes the first picture's shorter side.

    Returns:
        Training pool, test, class names (the words of ``words.txt`` where the tree has one).

    Raises:
        InputError: no class folder, a class without pictures, an unreadable picture, an unknown class.
    """
    top = path / "train" if (path / "train").is_dir() else path
    if not top.is_dir():
        raise InputError(f"{path}: expected a folder of class folders; found none")
    classes = sorted(d.name for d in top.iterdir() if d.is_dir() and not d.name.startswith("."))
    if len(classes) < 2:
        raise InputError(f"{top}: expected at least 2 class folders; found {len(classes)}")
    train = list_classes(top, classes)
    side = size or min(_open(train[0][0]).size)
    pool = read_pictures(train, side)
    held_out = _list_held_out(path, classes) if top != path else []
    if held_out:
        return pool, read_pictures(held_out, side), class_words(path, classes)
    rest, test = split_by_class(pool.labels, _TEST_FRACTION, _TEST_SEED)
    return pool.subset(rest), pool.subset(test), class_words(path, classes)


def list_classes(top: Path, classes: list[str]) -> Listing:
    """The pictures in the folders of ``classes``, whose labels count from zero. Raises InputError: a class has none."""
    listing: Listing = []
    for label, name in enumerate(classes):
        folder = top / name / "images" if (top / name / "images").is_dir() else top / name
        files = sorted(f for f in folder.glob("*") if f.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
        if not files:
            raise InputError(f"{folder}: expected PNG or JPEG pictures of class {name}; found none")
        listing += [(file, label) for file in files]
    return listing


def _list_held_out(path: Path, classes: list[str]) -> Listing:
    annotations = path / "val" / "val_annotations.txt"
    if annotations.is_file():
        return list_annotated(annotations, classes)
    for part in ("test", "val"):
        if (path / part / classes[0]).is_dir():
            return list_classes(path / part, classes)
    return []


def list_annotated(annotations: Path, classes: list[str]) -> Listing:
    """Read lines of file name, class and box, separated by tabs. Raises InputError: a class is none of ``classes``."""
    listing: Listing = []
    labels = {name: label for label, name in enumerate(classes)}
    for number, line in enumerate(annotations.read_text(errors="replace").splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in labels:
            raise InputError(f"{annotations}, line {number}: expected a file name and a class of train/")
        listing.append((annotations.parent / "images" / fields[0], labels[fields[1]]))
    return listing


def class_words(path: Path, classes: list[str]) -> tuple[str, ...]:
    """What ``words.txt`` says of each class, if there is such a file; else the classes."""
    file = path / "words.txt"
    if not file.is_file():
        return tuple(classes)
    words = dict(line.split("\t", 1) for line in file.read_text(errors="replace").splitlines() if "\t" in line)
    return tuple((words.get(name, "").strip() or name)[:_LONGEST_NAME] for name in classes)


def read_pictures(listing: Listing, side: int) -> ImageSet:
    """The pictures of a listing, brought to ``side``. Raises InputError: one cannot be read."""
    pixels = np.empty((len(listing), side, side, 3), np.uint8)

    def fill(index: int) -> None:
        pixels[index] = _pixels(listing[index][0], side)

    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        list(pool.map(fill, range(len(listing))))
    return ImageSet(torch.from_numpy(pixels), torch.tensor([label for _, label in listing]))


def _pixels(file: Path, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Decode one picture as uint8 (side, side, 3): shorter side fitted, centre kept."""
    image = _open(file)
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    return np.array(image, dtype=np.uint8)


def _open(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: expected a PNG or JPEG picture; {error}") from error
