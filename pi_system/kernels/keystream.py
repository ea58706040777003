"""AES-128 in counter mode (NIST SP 800-38A), and the choice of the instructions that compute AES."""

import numpy as np
import numpy.typing as npt

import pi_system.kernels._native as _native


def aes_ctr(key: bytes, first_block: int, out: npt.NDArray[np.uint8]) -> None:
    """Fill ``out`` with the keystream AES_key(first_block), AES_key(first_block + 1), ...

    Args:
        key: 16 bytes.
        first_block: the first counter block, read as a big-endian number; it wraps at 2^128.
        out: one-dimensional, contiguous, of any length.

    Raises:
        ValueError: a key that is not 16 bytes.
        OverflowError: a counter outside 0 .. 2^128 - 1.
        TypeError: ``out`` of another dtype or layout.
    """
    _native.aes_ctr(key, first_block.to_bytes(16, "big"), out)


def aes_backends() -> list[str]:
    """Name the AES backends this machine can run, fastest first; ``portable`` is always there."""
    return _native.aes_backends()


def aes_backend() -> str:
    """Name the AES backend in use."""
    return _native.aes_backend()


def use_aes_backend(name: str) -> None:
    """Use one AES backend from now on, in the whole process.

    Args:
        name: one of ``aes_backends()``, or ``auto`` for the fastest.

    Raises:
        ValueError: an unknown name, or instructions that this machine lacks.
    """
    _native.use_aes_backend(name)
