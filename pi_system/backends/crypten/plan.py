"""What one CrypTen inference takes from the dealer: the request both parties send, and its checks.

A plan is the list of correlations in the order in which CrypTen asks for them. It depends on public data only (graph,
ReLU map, shapes), so both parties find the same one by a dry run; as JSON it is the dealer's request.
"""

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pi_system.errors import RemoteProtocolError

MAX_REQUEST_BYTES = 16 << 20
MAX_ELEMENTS = 1 << 28
"""Largest tensor of an item, 2 GiB: no network that CrypTen finishes needs more; a larger one is a forgery."""

_Dim = Annotated[int, Field(ge=1, le=MAX_ELEMENTS)]
_Shape = Annotated[tuple[_Dim, ...], Field(max_length=8)]
_Pair = tuple[Annotated[int, Field(ge=0, le=4096)], Annotated[int, Field(ge=0, le=4096)]]


class _ItemBase(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AdditiveTriple(_ItemBase):
    """Shares of a, b and c = op(a, b), all uniform in Z_{2^64}."""

    kind: Literal["additive"] = "additive"
    op: Literal["mul", "matmul", "conv2d"]
    left: _Shape
    right: _Shape
    stride: _Pair | None = None
    padding: _Pair | None = None
    groups: _Dim | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the torch function ``op``."""
        options = {"stride": self.stride, "padding": self.padding, "groups": self.groups}
        return {name: value for name, value in options.items() if value is not None}

    def product(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """op(a, b) in Z_{2^64}: int64 tensors, any overflow wraps."""
        result: torch.Tensor = getattr(torch, self.op)(a, b, **self.options)
        return result

    def result_shape(self) -> tuple[int, ...]:
        """Shape of c. Raises RemoteProtocolError when the operands do not fit each other."""
        try:
            a, b = (torch.empty(shape, dtype=torch.int64, device="meta") for shape in (self.left, self.right))
            return tuple(self.product(a, b).shape)
        except (RuntimeError, TypeError, ValueError):
            raise RemoteProtocolError(
                f"dealer request: expected operands that fit {self.op}, found {self.left} and {self.right}"
            ) from None


class _Elementwise(_ItemBase):
    kind: str
    shape: _Shape

    def result_shape(self) -> tuple[int, ...]:
        """That of every share."""
        return self.shape


class BinaryTriple(_Elementwise):
    """XOR shares of 64-bit words a, b and c = a & b of one shape."""

    kind: Literal["binary"] = "binary"


class SharedBit(_Elementwise):
    """A uniform bit, XOR-shared and, the same bit, additively shared in Z_{2^64}: the result."""

    kind: Literal["bit"] = "bit"


class SquarePair(_Elementwise):
    """Shares of a uniform r and of r * r, in Z_{2^64}."""

    kind: Literal["square"] = "square"


Item = AdditiveTriple | BinaryTriple | SharedBit | SquarePair


class CorrelationPlan(BaseModel):
    """The correlations of one inference, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["crypten"] = "crypten"
    version: Literal[1] = 1
    ring_bits: Literal[64] = 64
    items: Annotated[tuple[Annotated[Item, Field(discriminator="kind")], ...], Field(max_length=1 << 16)]

    def correction_bytes(self) -> int:
        """Bytes the dealer sends the server for one inference."""
        return sum(8 * math.prod(item.result_shape()) for item in self.items)


def encode_plan(plan: CorrelationPlan) -> bytes:
    """The dealer request of a plan; equal plans give equal bytes."""
    return plan.model_dump_json(exclude_none=True).encode("ascii")


def decode_plan(request: bytes) -> CorrelationPlan:
    """The plan of a dealer request.

    Raises:
        RemoteProtocolError: not a request of this version, or a tensor above MAX_ELEMENTS.
    """
    if len(request) > MAX_REQUEST_BYTES:
        raise RemoteProtocolError(f"dealer request: expected at most {MAX_REQUEST_BYTES} bytes, found {len(request)}")
    try:
        plan = CorrelationPlan.model_validate_json(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RemoteProtocolError(f"dealer request: {where}: {first['msg']}") from None
    for item in plan.items:
        shapes = (item.left, item.right) if isinstance(item, AdditiveTriple) else (item.shape,)
        for shape in (*shapes, item.result_shape()):
            if math.prod(shape) > MAX_ELEMENTS:
                raise RemoteProtocolError(
                    f"dealer request: expected at most {MAX_ELEMENTS} elements, found shape {shape}"
                )
    return plan
