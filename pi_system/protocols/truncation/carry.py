"""The carry out of the low bits of a + rho, shared by XOR: from the lowest bits up, a 1-of-2^m OT for every block.

Functionality: c = [a + rho >= 2^t] for a, rho in [0, 2^t): c_0 at the server, c_1 at the client, c = c_0 ^ c_1.
Inputs:   rho at the server, which chooses all of its shares of carries as well; a at the client; n elements each.
Steps:    the OT's entries are the carry out of a block for all of the client's bits of it and for both values of the
          client's share of the carry into it, but in the first block, each summed with the server's share of the carry
          out. The client's entry is its own share: the last bit of the next block's index, whose choice it corrects.
Cost:     B messages of the server, each after one of the client, for B blocks; an element and block of b bits b + 1
          COTs (b in the first), as many bits from the client and 2^(b + 1) (2^b) from the server.
Error:    none.
Security: semi-honest, that of the OTs. The client sees entries under pads that it does not have, but for one that the
          server's share masks; the server its choices, masked by the OTs' random ones.
Source:   Rathee et al., eprint 2020/1002 (CrypTFlow2), section 3.1.1, compares blocks by 1-of-2^m OTs and merges them
          by ANDs. Deviation: the carry goes through the blocks in turn, as part of an index, so there is no "equal" and
          no AND; for truncation pairs, of which nobody waits for a round trip, 15 to 21 COTs where ANDs took 28 to 33.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.ot import Blocks, pads_receiver, pads_sender, pads_shift
from pi_system.kernels.packing import Bytes
from pi_system.protocols.ot import Cots
from pi_system.protocols.ot.strings import pack_ring
from pi_system.protocols.relu_gmw.planes import as_bits, as_plane
from pi_system.ring.carrier import RingArray

_INDEX_BITS: Final = 5  # tables of 32 bits, which the pads' kernel makes in one word
_COT_WEIGHT: Final = 10  # bits that travel in the time that a COT and its hashes take
_BLOCK_WEIGHT: Final = 16  # likewise of a round trip, spread over a layer


@dataclass(frozen=True, slots=True)
class CarryBlock:
    """Bits ``at`` to ``at + bits - 1`` of both numbers; the first block has no carry into it."""

    at: int
    bits: int

    @property
    def index_bits(self) -> int:
        """m: of the OT's index."""
        return self.bits + (self.at > 0)

    @property
    def table_bits(self) -> int:
        """Entries of the OT."""
        return 1 << self.index_bits

    def of(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """This block of numbers (n,)."""
        kind = values.dtype.type
        part: NDArray[np.uint8] = ((values >> kind(self.at)) & kind((1 << self.bits) - 1)).astype(np.uint8)
        return part


@lru_cache
def carry_blocks(bits: int) -> tuple[CarryBlock, ...]:
    """The lightest blocks, lowest first, for a carry out of ``bits`` bits."""
    fewest = -(-max(bits - 1, 1) // (_INDEX_BITS - 1))
    return min((_spread(bits, count) for count in range(fewest, bits + 1)), key=_weight)


def _spread(bits: int, count: int) -> tuple[CarryBlock, ...]:
    """So many blocks, their indices as long as each other or one bit longer."""
    indices = [(bits + count - 1 + number) // count for number in reversed(range(count))]
    blocks, at = [], 0
    for index in indices:
        blocks.append(CarryBlock(at, index - (at > 0)))
        at += blocks[-1].bits
    return tuple(blocks)


def _weight(blocks: tuple[CarryBlock, ...]) -> int:
    """Bits from the server, and those that what else there is would be worth."""
    return sum(block.table_bits + _COT_WEIGHT * block.index_bits + _BLOCK_WEIGHT for block in blocks)


@lru_cache
def _tables(block: CarryBlock) -> NDArray[np.uint32]:
    """Words of the OT's entries, by the server's bits of the block and its shares of the carries in and out."""
    rho, share_in, share_out, index = np.ogrid[: 1 << block.bits, :2, :2, : block.table_bits]
    low, into = index & ((1 << block.bits) - 1), (index >> block.bits) ^ share_in
    out = ((low + rho + into) >> block.bits) ^ share_out
    words: NDArray[np.uint32] = (out << index).sum(axis=-1).astype(np.uint32).reshape(-1)
    return words


class ServerCarry:
    """The server's part for some elements."""

    def __init__(self, bits: int, cots: Cots, delta: Blocks, size: int):
        """Takes the COTs of ``size`` elements, in whole blocks (protocols/material.py)."""
        self._blocks = carry_blocks(bits)
        self._pads = []
        for block in self._blocks:
            q, tweak = cots.take(block.index_bits * size)
            self._pads.append(pads_sender(q, delta.tobytes(), tweak, block.index_bits, 1))

    def start(self, choices: Bytes, rho: RingArray, shares: list[NDArray[np.uint8]]) -> None:
        """Take the client's planes (t, n / 8), rho (n,) and this party's shares of the carry out of every block."""
        self._choices, self._rho, self._shares = choices, rho, shares

    def table(self, number: int, choice: Bytes | None) -> Bytes:
        """The message of block ``number``; ``choice``: the client's plane for its carry into it, None for the first."""
        block, pads = self._blocks[number], self._pads[number]
        planes = [self._choices[block.at : block.at + block.bits]]
        row = block.of(self._rho).astype(np.intp) << 2 | self._shares[number]
        if choice is not None:
            planes.append(choice.reshape(1, -1))
            row |= self._shares[number - 1].astype(np.intp) << 1
        pads_shift(pads, np.concatenate(planes), block.index_bits)
        return pack_ring(_tables(block)[row] ^ pads, block.table_bits)


class ClientCarry:
    """The client's part for some elements."""

    def __init__(self, bits: int, cots: Cots, a: RingArray):
        """Takes the COTs of ``a`` (n,), n in whole blocks."""
        self._blocks = carry_blocks(bits)
        self._parts = [block.of(a) for block in self._blocks]
        self._shifts, self._pads = [], []
        for block, part in zip(self._blocks, self._parts, strict=True):
            t, tweak = cots.take(block.index_bits * len(a))
            shift, (pad,) = pads_receiver(t, tweak, block.index_bits, 1, part)
            self._shifts.append(shift)
            self._pads.append(pad)

    def choices(self) -> Bytes:
        """The first message: the planes of a's bits, (t, n / 8)."""
        return np.concatenate([shift[: block.bits] for shift, block in zip(self._shifts, self._blocks, strict=True)])

    def take(self, number: int, words: NDArray[np.uint32]) -> None:
        """The server's table of block ``number``, a word (n,) each: what it says is this party's ``share``."""
        block, index = self._blocks[number], self._parts[number]
        if number:
            index = index | self.share << np.uint8(block.bits)
        opened = (words >> index & np.uint32(1)).astype(np.uint8)
        self.share: NDArray[np.uint8] = opened ^ as_bits(self._pads[number], len(opened))

    def choice(self, number: int) -> Bytes:
        """The message before the table of block ``number`` (not the first): a plane for the carry into it."""
        plane: Bytes = self._shifts[number][-1] ^ as_plane(self.share)
        return plane
