"""Transformed weights on disk, so that a model is transformed once and not once a session.

A file an array, mapped into memory: sessions of one model share the pages. The folder is the server's alone (mode
0700) and can be deleted at any time.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["WeightFolder"]


class WeightFolder:
    """Arrays by name; see KeptWeights of protocols/linear_he."""

    def __init__(self, folder: Path):
        """Open (and create) the folder of one model."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def get(self, name: str) -> NDArray[Any] | None:
        """The array, mapped from its file; None if there is none or it is damaged."""
        try:
            words: NDArray[Any] = np.load(self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return words

    def put(self, name: str, words: NDArray[Any]) -> NDArray[Any]:
        """Write the array, whole or not at all, and return it as it is mapped from its file."""
        part = self._folder / f".{name}.{os.getpid()}.part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            np.save(file, words, allow_pickle=False)
        part.rename(self._folder / f"{name}.npy")
        kept = self.get(name)
        return words if kept is None else kept
