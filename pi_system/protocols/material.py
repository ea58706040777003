"""Offline material of one party and one gate: a fixed set of named arrays, used once."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import CorrelationMismatchError, LocalProtocolError
from pi_system.kernels import RELU_BLOCK

Material = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[tuple[int, ...], type]]
"""Shape and numpy type by name; the names' order is the order of the bytes."""

BLOCK: Final = RELU_BLOCK
"""Elements that offline work and chunks are cut into: whole bytes of planes, whole blocks of keys."""


def padded(count: int) -> int:
    """``count`` rounded up to whole blocks: offline work is done for that many."""
    return -(-count // BLOCK) * BLOCK


def padded_shares(count: int, *shares: NDArray[Any]) -> list[NDArray[Any]]:
    """A client's y_1 and r, (count,) each, filled up with zeros to whole blocks. Raises LocalProtocolError."""
    if any(share.shape != (count,) for share in shares):
        raise LocalProtocolError(f"gate: expected shares of {count}, found {[share.shape for share in shares]}")
    return [np.pad(share, (0, padded(count) - count)) for share in shares]


def blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """(first, number) of pieces of ``size`` elements, a multiple of BLOCK, that cover ``padded(count)``."""
    total = padded(count)
    for first in range(0, total, size):
        yield first, min(size, total - first)


def check_material(material: Material, shapes: Shapes) -> None:
    """Check names, shapes and types. Raises CorrelationMismatchError."""
    for name, (shape, dtype) in shapes.items():
        found = material.get(name)
        if found is None:
            raise CorrelationMismatchError(f"gate material: expected {name}, found nothing")
        if found.shape != shape or found.dtype != dtype:
            raise CorrelationMismatchError(
                f"gate material: expected {name} {shape} {np.dtype(dtype)}, found {found.shape} {found.dtype}"
            )


def material_bytes(shapes: Shapes) -> int:
    """Size of all arrays one after another, in the order of ``shapes``."""
    return sum(prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes.values())


def unpack_material(data: bytes | memoryview, shapes: Shapes) -> Material:
    """The arrays in ``data``, as views, one after another as ``shapes`` has them. Raises CorrelationMismatchError."""
    if len(data) != material_bytes(shapes):
        raise CorrelationMismatchError(f"gate material: expected {material_bytes(shapes)} bytes, found {len(data)}")
    material: Material = {}
    at = 0
    for name, (shape, dtype) in shapes.items():
        material[name] = np.frombuffer(data, dtype, prod(shape), at).reshape(shape)
        at += material[name].nbytes
    return material
