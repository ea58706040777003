"""What a tensor holds, out of its raw bytes or out of JSON and back. Untrusted: every fault is an InputError.

Raw: little-endian, row-major; BYTES are elements with a length of four bytes before each. In JSON, where text is not
bytes, a picture is base64; numbers stand in one list, or in lists of lists.
"""

import base64
import binascii
import struct
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_client.gateway.messages import DTYPES, Tensor, Values
from pi_system.errors import InputError
from pi_system.rpc.session_config import MAX_BATCH


def check_count(name: str, shape: tuple[int, ...], found: int) -> None:
    """Raise InputError unless ``shape`` has ``found`` elements."""
    if any(size < 0 for size in shape) or prod(shape) != found:
        raise InputError(f"input {name[:64]!r}: expected as many elements as shape {_told(shape)} has, found {found}")


def check_datatype(name: str, datatype: str) -> None:
    """Raise InputError for one that no input has."""
    if datatype not in ("BYTES", "UINT8", "FP32"):
        raise InputError(f"input {name[:64]!r}: expected datatype BYTES, UINT8 or FP32, found {datatype[:16]!r}")


def from_raw(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
    """The tensor whose raw form is ``data``. Raises InputError."""
    check_datatype(name, datatype)
    values: Values
    if datatype == "BYTES":
        values = _elements(name, data)
    else:
        dtype = DTYPES[datatype]
        if len(data) % dtype.itemsize:
            raise InputError(
                f"input {name[:64]!r}: expected whole elements of {dtype.itemsize} bytes, found {len(data)} bytes"
            )
        values = np.frombuffer(data, dtype)
    check_count(name, shape, len(values))
    return Tensor(name=name, datatype=datatype, shape=shape, values=values)


def to_raw(tensor: Tensor) -> bytes:
    """The raw form."""
    if isinstance(tensor.values, list):
        return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values)
    return tensor.values.astype(DTYPES[tensor.datatype]).tobytes()


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """The tensor whose JSON form is ``data``. Raises InputError."""
    check_datatype(name, datatype)
    flat = _flat(name, data)
    check_count(name, shape, len(flat))
    values: Values
    if datatype == "BYTES":
        values = [_decoded(name, one) for one in flat]
    else:
        values = _numbers(name, datatype, flat)
    return Tensor(name=name, datatype=datatype, shape=shape, values=values)


def to_json(tensor: Tensor) -> list[Any]:
    """The JSON form of an output, flat; bytes are text there."""
    if isinstance(tensor.values, list):
        return [value.decode() for value in tensor.values]
    found: list[Any] = tensor.values.tolist()
    return found


def _elements(name: str, data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 4
        end = start + int.from_bytes(data[at:start], "little")
        if end > len(data):
            raise InputError(f"input {name[:64]!r}: expected elements with their lengths, found {len(data)} bytes")
        if len(found) == MAX_BATCH:  # millions of empty ones would take seconds
            raise InputError(f"input {name[:64]!r}: expected at most {MAX_BATCH} elements, found more")
        found.append(data[start:end])
        at = end
    return found


def _flat(name: str, data: Any) -> list[Any]:
    """The elements of lists in lists."""
    while isinstance(data, list) and any(isinstance(one, list) for one in data):
        if not all(isinstance(one, list) for one in data):
            raise InputError(f"input {name[:64]!r}: expected data of one depth, found lists beside values")
        data = list(chain.from_iterable(data))
    if not isinstance(data, list):
        raise InputError(f"input {name[:64]!r}: expected a list as data, or binary_data_size, found neither")
    return data


def _decoded(name: str, text: Any) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise InputError(f"input {name[:64]!r}: expected pictures as base64 in JSON, found something else")


def _numbers(name: str, datatype: str, flat: list[Any]) -> NDArray[Any]:
    kinds, least, most = ("iu", 0, 255) if datatype == "UINT8" else ("iuf", -np.inf, np.inf)
    try:
        values = np.asarray(flat or [0][:0], None if flat else DTYPES[datatype])
    except (ValueError, OverflowError):
        values = np.zeros((), object)
    if values.dtype.kind not in kinds or values.ndim != 1 or not ((values >= least) & (values <= most)).all():
        what = "whole numbers from 0 to 255" if datatype == "UINT8" else "numbers"
        raise InputError(f"input {name[:64]!r}: expected {what} as {datatype}, found others")
    with np.errstate(over="ignore"):  # too large for FP32 is infinite, and refused as that
        return values.astype(DTYPES[datatype])


def _told(shape: tuple[int, ...]) -> str:
    return str(list(shape))[:64]
