"""Requests and responses of the Open Inference Protocol, in whichever form they came."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[Any] | list[bytes]
"""The elements of a tensor, flat: an array, or of BYTES a list."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """A named tensor.

    Attributes:
        name: of an input or an output.
        datatype: BYTES, UINT8, FP32 or INT64.
        shape: sizes; their product is the number of values.
        values: in row-major order.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """What the metadata say of a tensor; sizes of -1 are any."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """What a model is: its one version is the first digits of the artifact's digest."""

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """What is asked: the model by name and version (empty: any), and the outputs by name (none: all)."""

    model: str
    version: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResponse:
    """What is answered."""

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("u1"), "FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}
"""Of all datatypes but BYTES, as their raw form has them."""
