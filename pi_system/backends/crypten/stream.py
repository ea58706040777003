"""Uniform int64 tensors from a cryptographic generator, in place of torch.Generator."""

from collections.abc import Sequence

import numpy as np
import torch

from pi_system.ring.prg import Prg


class RingStream:
    """A sequence of uniform tensors; two streams of one generator seed and one order of calls agree."""

    def __init__(self, prg: Prg) -> None:
        """Read from ``prg``, which nothing else may read."""
        self._prg = prg

    def tensor(self, size: Sequence[int], bits: int = 64) -> torch.Tensor:
        """Uniform integers of ``bits`` bits: int64 of shape ``size``, all of Z_{2^64} when ``bits`` is 64."""
        words = self._prg.ring(tuple(size), bits)
        return torch.from_numpy(words.view(np.int64) if words.itemsize == 8 else words.astype(np.int64))
