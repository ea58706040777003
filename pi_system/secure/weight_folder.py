"""Transformed weights on disk, so that a model is transformed once and not once a session.

A file an array, in the form of secure/kept.py, mapped into memory while it is used: sessions of one model share the
pages. Each session reads every file once for its digest, when it first takes it, at the speed of SHA-256 (0.6 to 0.9
GB/s on the machine of docs/explanation/decisions.md). The folder is the server's alone (mode 0700) and can be deleted
at any time.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.durable import private_folder
from pi_system.errors import CorrelationMismatchError
from pi_system.secure.kept import HEADER_BYTES, check_kept, write_kept
from pi_system.version import PROTOCOL_VERSION


class WeightFolder:
    """Arrays by name; see KeptWeights of protocols/linear_he."""

    def __init__(self, folder: Path):
        """Open (and create) the folder."""
        private_folder(folder)
        self._folder = folder
        self._checked: dict[str, tuple[str, tuple[int, ...]]] = {}

    @classmethod
    def of_model(cls, folder: Path) -> "WeightFolder":
        """That of this protocol version in the folder of a model; those of other versions are deleted."""
        name = f"transformed-{PROTOCOL_VERSION}"
        for other in folder.glob("transformed*"):
            if other.name != name:
                shutil.rmtree(other, ignore_errors=True)
        return cls(folder / name)

    def get(self, name: str) -> NDArray[Any] | None:
        """The array, mapped from its file; None if there is none, it is damaged or of another protocol version."""
        try:
            if name not in self._checked:
                fields = check_kept(self._path(name), _fields(name))
                self._checked[name] = fields["dtype"], tuple(fields["shape"])
            return self._mapped(name)
        except (OSError, ValueError, CorrelationMismatchError):  # ValueError: cut short since it was checked
            return None

    def put(self, name: str, words: NDArray[Any]) -> NDArray[Any]:
        """Write the array, whole or not at all, and return it as it is mapped from its file."""
        whole = np.ascontiguousarray(words)
        fields = {**_fields(name), "dtype": whole.dtype.str, "shape": whole.shape}
        write_kept(self._path(name), fields, whole.data.cast("B"))
        self._checked[name] = whole.dtype.str, whole.shape
        return self._mapped(name)

    def _mapped(self, name: str) -> NDArray[Any]:
        dtype, shape = self._checked[name]
        return np.memmap(self._path(name), dtype, "r", HEADER_BYTES, shape)

    def names(self) -> set[str]:
        """Of all arrays on disk."""
        return {path.stem for path in self._folder.glob("*.words")}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.words"


def _fields(name: str) -> dict[str, str]:
    return {"what": "transformed weights", "name": name}
