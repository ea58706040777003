"""Transformed weights on disk, so that a model is transformed once and not once a session.

A file an array, in the form of secure/kept.py, mapped into memory: sessions of one model share the pages. Each
session reads every file once for its digest, at the speed of SHA-256 (0.6 to 0.9 GB/s on the machine of
docs/explanation/decisions.md): somewhat less than transforming anew. The folder is the server's alone (mode 0700) and
can be deleted at any time.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import CorrelationMismatchError
from pi_system.secure.kept import HEADER_BYTES, map_kept, write_kept


class WeightFolder:
    """Arrays by name; see KeptWeights of protocols/linear_he."""

    def __init__(self, folder: Path):
        """Open (and create) the folder of one model."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def get(self, name: str) -> NDArray[Any] | None:
        """The array, mapped from its file; None if there is none, it is damaged or of another protocol version."""
        try:
            fields, body = map_kept(self._path(name), _fields(name))
        except (OSError, CorrelationMismatchError):
            return None
        words: NDArray[Any] = body.view(fields["dtype"]).reshape(fields["shape"])
        return words

    def put(self, name: str, words: NDArray[Any]) -> NDArray[Any]:
        """Write the array, whole or not at all, and return it as it is mapped from its file."""
        whole = np.ascontiguousarray(words)
        fields = {**_fields(name), "dtype": whole.dtype.str, "shape": whole.shape}
        write_kept(self._path(name), fields, whole.data.cast("B"))
        return np.memmap(self._path(name), whole.dtype, "r", HEADER_BYTES, whole.shape)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.words"


def _fields(name: str) -> dict[str, str]:
    return {"what": "transformed weights", "name": name}
