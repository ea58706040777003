"""CIFAR-10 and CIFAR-100 in the official binary layout.

A record is its label bytes (CIFAR-10: one; CIFAR-100: coarse, then fine; the fine one is used) and 3,072
pixel bytes, planar R, G, B, row by row. Source: A. Krizhevsky, the CIFAR-10 and CIFAR-100 data sets, 2009.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pi_system.errors import InputError
from pi_system.train.data.dataset import ImageSet

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarLayout:
    """File names, label bytes and records of one of the two sets."""

    folder: str
    train_files: tuple[str, ...]
    test_file: str
    names_file: str
    label_bytes: int
    classes: int
    train_records: int
    test_records: int

    def read(self, path: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
        """Read the set from its folder or the folder above it.

        Returns:
            Training pool, test, class names.

        Raises:
            InputError: a file is missing or has another length than the layout says, or a label is too large.
        """
        root = path / self.folder if (path / self.folder).is_dir() else path
        if not root.is_dir():
            raise InputError(f"{path}: expected a folder that is or holds {self.folder}; found none")
        parts = [self._read_file(root / name, self.train_records) for name in self.train_files]
        pool = ImageSet(torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]))
        return pool, self._read_file(root / self.test_file, self.test_records), self._names(root)

    def _read_file(self, file: Path, records: int) -> ImageSet:
        record_bytes = self.label_bytes + _PIXELS
        expected = records * record_bytes
        found = f"{file.stat().st_size} bytes" if file.is_file() else "no such file"
        if found != f"{expected} bytes":
            raise InputError(f"{file}: expected {expected} bytes ({records} records); found {found}")
        data = np.fromfile(file, dtype=np.uint8).reshape(records, record_bytes)
        labels = torch.from_numpy(data[:, self.label_bytes - 1].astype(np.int64))
        if int(labels.max()) >= self.classes:
            raise InputError(f"{file}: expected labels below {self.classes}; found {int(labels.max())}")
        planar = data[:, self.label_bytes :].reshape(records, 3, 32, 32)
        return ImageSet(torch.from_numpy(np.ascontiguousarray(planar.transpose(0, 2, 3, 1))), labels)

    def _names(self, root: Path) -> tuple[str, ...]:
        file = root / self.names_file
        if not file.is_file():  # labels mean the same without their names
            return tuple(str(label) for label in range(self.classes))
        names = tuple(line.strip() for line in file.read_text().splitlines() if line.strip())
        if len(names) != self.classes:
            raise InputError(f"{file}: expected {self.classes} class names; found {len(names)}")
        return names


CIFAR10 = CifarLayout(
    folder="cifar-10-batches-bin",
    train_files=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
    test_file="test_batch.bin",
    names_file="batches.meta.txt",
    label_bytes=1,
    classes=10,
    train_records=10_000,
    test_records=10_000,
)
CIFAR100 = CifarLayout(
    folder="cifar-100-binary",
    train_files=("train.bin",),
    test_file="test.bin",
    names_file="fine_label_names.txt",
    label_bytes=2,
    classes=100,
    train_records=50_000,
    test_records=10_000,
)
