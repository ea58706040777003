"""The seam of oblivious transfer: two parties that extend correlated OTs in lock step."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pi_system.errors import LocalProtocolError
from pi_system.kernels.ot import Blocks
from pi_system.protocols.half import Half


class Cots:
    """Correlated OTs of one party, each to be used once."""

    __slots__ = ("_taken", "_tweak", "blocks")

    def __init__(self, blocks: Blocks, tweak: int):
        """``blocks``: q or t, (n, 2); ``tweak``: index of the first in the sender's whole sequence."""
        self.blocks, self._tweak, self._taken = blocks, tweak, 0

    def __len__(self) -> int:
        """How many are left."""
        return len(self.blocks) - self._taken

    def take(self, count: int) -> tuple[Blocks, int]:
        """The next ``count`` blocks and the tweak of the first. Raises LocalProtocolError when too few are left."""
        if count > len(self):
            raise LocalProtocolError(f"correlated OTs: expected {count} left, found {len(self)}")
        first = self._taken
        self._taken += count
        return self.blocks[first : first + count], self._tweak + first


class CotSender(Protocol):
    """Holds Delta (1, 2), odd; extends q."""

    delta: Blocks

    def extend(self, count: int) -> Half[Cots]:
        """``count`` new COTs; the peer's receiver must be asked for the same count."""


class CotReceiver(Protocol):
    """Extends t = q ^ u Delta with random u = lsb(t)."""

    def extend(self, count: int) -> Half[Cots]:
        """``count`` new COTs; the peer's sender must be asked for the same count."""


@dataclass(slots=True)
class Position:
    """Counts the COTs handed out: the next hash tweak."""

    next: int = 0

    def cots(self, blocks: Blocks) -> Cots:
        """Wrap blocks that follow everything wrapped before."""
        first = self.next
        self.next += len(blocks)
        return Cots(blocks, first)


def blocks_from(data: bytes) -> Blocks:
    """16 n bytes as n blocks, a writable copy."""
    return np.frombuffer(data, np.uint64).reshape(-1, 2).copy()
