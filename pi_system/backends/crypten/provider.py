"""CrypTen's provider seam: one that records what is asked for, one that hands out what the dealer sent."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

import torch

from pi_system.backends.crypten.library import crypten
from pi_system.backends.crypten.plan import AdditiveTriple, BinaryTriple, Item, SharedBit, SquarePair
from pi_system.backends.crypten.store import Expanded, Shares
from pi_system.errors import CorrelationExhaustedError, CorrelationMismatchError, LocalProtocolError


class _Provider(ABC):
    """CrypTen's requests as items of a plan; subclasses say where the shares come from."""

    def generate_additive_triple(
        self, size0: Sequence[int], size1: Sequence[int], op: str, device: object = None, **options: Any
    ) -> tuple[Any, Any, Any]:
        """ArithmeticSharedTensors a, b, op(a, b)."""
        item = AdditiveTriple(op=op, left=tuple(size0), right=tuple(size1), **options)  # type: ignore[arg-type]
        shares = self._shares(item)
        a, b = shares.operands
        return _arithmetic(a), _arithmetic(b), _arithmetic(shares.result)

    def generate_binary_triple(
        self, size0: Sequence[int], size1: Sequence[int], device: object = None
    ) -> tuple[Any, Any, Any]:
        """BinarySharedTensors a, b, a & b of one shape."""
        if tuple(size0) != tuple(size1):
            raise LocalProtocolError(f"binary triple: expected one shape, found {size0} and {size1}")
        shares = self._shares(BinaryTriple(shape=tuple(size0)))
        a, b = shares.operands
        return _binary(a), _binary(b), _binary(shares.result)

    def B2A_rng(self, size: Sequence[int], device: object = None) -> tuple[Any, Any]:
        """One uniform bit as an ArithmeticSharedTensor and as a BinarySharedTensor."""
        shares = self._shares(SharedBit(shape=tuple(size)))
        return _arithmetic(shares.result), _binary(shares.operands[0])

    def square(self, size: Sequence[int], device: object = None) -> tuple[Any, Any]:
        """ArithmeticSharedTensors r, r * r."""
        shares = self._shares(SquarePair(shape=tuple(size)))
        return _arithmetic(shares.operands[0]), _arithmetic(shares.result)

    def wrap_rng(self, size: Sequence[int], device: object = None) -> NoReturn:
        """Never asked for by two parties."""
        raise LocalProtocolError("provider: expected triples, squares or bits, found a request for wraps")

    @abstractmethod
    def _shares(self, item: Item) -> Shares:
        """This party's shares of the next item."""


class RecordingProvider(_Provider):
    """Records every request and answers with shapes without data: for a dry run on the meta device."""

    def __init__(self) -> None:
        """Nothing recorded yet."""
        self.items: list[Item] = []

    def _shares(self, item: Item) -> Shares:
        self.items.append(item)
        if isinstance(item, AdditiveTriple):
            operands: tuple[torch.Tensor, ...] = (_shape(item.left), _shape(item.right))
        else:
            operands = (_shape(item.shape), _shape(item.shape))
        return Shares(item, operands, _shape(item.result_shape()))


class StoredProvider(_Provider):
    """Hands out one inference's material in order, each item once."""

    def __init__(self, material: Expanded) -> None:
        """Consume ``material``."""
        self._material = material

    def _shares(self, item: Item) -> Shares:
        if not self._material:
            raise CorrelationExhaustedError(f"expected a {item.kind} correlation, found the material used up")
        shares = self._material.popleft()
        if shares.item != item:
            raise CorrelationMismatchError(f"expected material for {item}, found {shares.item}")
        return shares


def _arithmetic(share: torch.Tensor) -> Any:
    return crypten.mpc.primitives.ArithmeticSharedTensor.from_shares(share, precision=0)


def _binary(share: torch.Tensor) -> Any:
    return crypten.mpc.primitives.BinarySharedTensor.from_shares(share, precision=0)


def _shape(size: Sequence[int]) -> torch.Tensor:
    return torch.empty(tuple(size), dtype=torch.int64, device="meta")
