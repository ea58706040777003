"""The only source of randomness of the secure arm: AES-128 in counter mode from operating-system seeds.

A ``Prg`` is a stream: each call takes the next blocks of its keystream and no block is ever given twice. Independent
streams for layers, parties and purposes are children, named by a label. Security rests on AES-128 as a pseudo-random
permutation and on BLAKE2b, keyed with the seed, as a pseudo-random function (children and the stream's own key).
"""

import hashlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from pi_system.kernels.keystream import aes_ctr

SEED_BYTES = 16


def fresh_seed() -> bytes:
    """Draw a seed of 16 bytes from the operating system."""
    return os.urandom(SEED_BYTES)


class Prg:
    """A pseudo-random stream; the same seed gives the same stream. Not for use by several threads at once."""

    __slots__ = ("_key", "_next_block", "_seed")

    def __init__(self, seed: bytes) -> None:
        """Start the stream of a seed.

        Args:
            seed: 16 secret bytes, from ``fresh_seed``, ``child_seed`` or a peer.

        Raises:
            ValueError: another length.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"seed: expected {SEED_BYTES} bytes, found {len(seed)}")
        self._seed = seed
        self._key = hashlib.blake2b(key=seed, digest_size=16, person=b"pi-prg-stream").digest()
        self._next_block = 0

    def __repr__(self) -> str:
        """Show no secret."""
        return "Prg(<secret>)"

    def child_seed(self, *label: str | int) -> bytes:
        """Return the seed named by a label; it does not depend on what was drawn from this stream.

        Args:
            label: strings and integers (absolute value below 2^127); different labels give independent seeds.
        """
        digest = hashlib.blake2b(key=self._seed, digest_size=SEED_BYTES, person=b"pi-prg-child")
        for part in label:
            digest.update(_encoded(part))
        return digest.digest()

    def child(self, *label: str | int) -> "Prg":
        """Return an independent stream named by a label; see ``child_seed``."""
        return Prg(self.child_seed(*label))

    def into(self, out: npt.NDArray[Any]) -> None:
        """Fill an array with random bytes.

        Args:
            out: contiguous, any shape, of integers.

        Raises:
            ValueError: an array that is not contiguous.
        """
        if not out.flags.c_contiguous:
            raise ValueError("out: expected a contiguous array")
        view = out.reshape(-1).view(np.uint8)
        first = self._next_block
        self._next_block = first + (view.size + 15) // 16  # a part of a block left over is never used
        aes_ctr(self._key, first, view)

    def bytes(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        out = np.empty(count, np.uint8)
        self.into(out)
        return out.tobytes()

    def ring(self, shape: int | tuple[int, ...], ring_bits: int) -> npt.NDArray[Any]:
        """Return uniform elements of Z_{2^ring_bits}.

        Args:
            shape: of the result.
            ring_bits: 1 to 64.

        Returns:
            uint32 if ring_bits <= 32, else uint64; bits above ring_bits are zero.

        Raises:
            ValueError: ring_bits is out of range.
        """
        if not 1 <= ring_bits <= 64:
            raise ValueError(f"ring_bits: expected 1 to 64, found {ring_bits}")
        dtype = np.dtype(np.uint32 if ring_bits <= 32 else np.uint64)
        out: npt.NDArray[Any] = np.empty(shape, dtype)
        self.into(out)
        if ring_bits != 8 * dtype.itemsize:
            out &= dtype.type((1 << ring_bits) - 1)
        return out


def _encoded(part: str | int) -> bytes:
    """Encode a label part so that different sequences of parts never give the same bytes."""
    if isinstance(part, str):
        text = part.encode()
        return b"s" + len(text).to_bytes(8, "little") + text
    return b"i" + part.to_bytes(16, "little", signed=True)
