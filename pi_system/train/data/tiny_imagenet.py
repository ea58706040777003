"""Tiny-ImageNet-200 in the layout in which it is distributed: 200 classes, RGB pictures of 64 x 64 pixels.

wnids.txt                     the classes, a WordNet id a line
words.txt                     id, tab, words
train/<id>/images/*.JPEG      500 pictures a class
val/images/*.JPEG             10,000 pictures, whose classes are in val/val_annotations.txt
test/images/*.JPEG            without classes: not read

The ``val`` pictures are the test set, as in the papers: classes of ``test`` were never published. Labels are in the
order of the sorted ids, as ``folder:PATH`` and torchvision's ImageFolder number them. Source: Y. Le, X. Yang, Tiny
ImageNet Visual Recognition Challenge, CS 231N, Stanford University, 2015.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pi_system.errors import InputError
from pi_system.train.data.dataset import ImageSet
from pi_system.train.data.folder import Listing, class_words, list_annotated, list_classes, read_pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyImageNetLayout:
    """Folder, side of a picture, classes, training pictures of each, and test pictures of all."""

    folder: str
    side: int
    classes: int
    train_pictures: int
    test_pictures: int

    def read(self, path: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
        """Read the set from its folder or the folder above it.

        Returns:
            Training pool, test, class names: the words of an id, or the id.

        Raises:
            InputError: a file is missing or unreadable, there are more or fewer pictures than the layout says, or a
                class is none of ``wnids.txt``.
        """
        root = path / self.folder if (path / self.folder).is_dir() else path
        classes = self._classes(root, path)
        train = list_classes(root / "train", classes)
        of_class = Counter(label for _, label in train)
        for label, name in enumerate(classes):
            self._check(root / "train" / name, of_class[label], self.train_pictures)
        test = self._held_out(root, classes)
        return read_pictures(train, self.side), read_pictures(test, self.side), class_words(root, classes)

    def _classes(self, root: Path, path: Path) -> list[str]:
        file = root / "wnids.txt"
        if not file.is_file():
            raise InputError(f"{path}: expected a folder that is or holds {self.folder}, with wnids.txt; found none")
        classes = sorted(set(file.read_text(errors="replace").split()))
        if len(classes) != self.classes:
            raise InputError(f"{file}: expected {self.classes} classes; found {len(classes)}")
        return classes

    def _held_out(self, root: Path, classes: list[str]) -> Listing:
        annotations = root / "val" / "val_annotations.txt"
        if not annotations.is_file():
            raise InputError(f"{annotations}: expected the classes of the pictures in val/images; found no such file")
        found = list_annotated(annotations, classes)
        self._check(root / "val", len(found), self.test_pictures)
        return found

    @staticmethod
    def _check(where: Path, found: int, expected: int) -> None:
        if found != expected:
            raise InputError(f"{where}: expected {expected} pictures; found {found}: is it unpacked completely?")


TINY_IMAGENET = TinyImageNetLayout(
    folder="tiny-imagenet-200", side=64, classes=200, train_pictures=500, test_pictures=10_000
)
