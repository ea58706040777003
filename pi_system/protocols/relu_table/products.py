"""Products of one party's bit with the other's string of bits, or words, by random OTs.

Of each correlated OT the sender has a random string beta and v, the receiver a random bit u and w, v ^ w = u beta;
of words the sender has zero and one, the receiver u and its word. Sending F = x ^ beta (words: x - one + zero) makes
the string x the sender's; sending e = a ^ u makes the bit a the receiver's. Both may be sent at once, F does not
depend on e. What an OT draws at random is what a party may draw at random: then it sends nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pi_system.kernels.ot import Blocks, bit_products_receiver, bit_products_sender
from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import BARRIER, Half
from pi_system.protocols.ot import Cots, OtParty
from pi_system.protocols.ot.strings import (
    random_receive,
    random_receive_pairs,
    random_send,
    random_send_pairs,
)
from pi_system.protocols.relu_gmw.early import chunks
from pi_system.protocols.relu_gmw.planes import as_plane
from pi_system.protocols.relu_table.shape import Direction, Shape
from pi_system.ring.carrier import RingArray

_CHUNKS_A_TURN: Final = 64
"""262,144 elements: fewer cost more round trips, more keep the other party waiting longer without a message."""


@dataclass(slots=True)
class Offered:
    """The sender's part of all OTs of a gate, n elements.

    Attributes:
        adder: beta and v of each group, (steps, bits, n / 8).
        strings: of each piece, (bits, n / 8).
        words: zero and one - zero, (words, n), of the bits that are taken to the ring, then of the product.
    """

    adder: list[tuple[Bytes, Bytes]]
    strings: list[tuple[Bytes, Bytes]]
    words: list[tuple[RingArray, RingArray]]


@dataclass(slots=True)
class Chosen:
    """The receiver's part.

    Attributes:
        adder: u (steps, n / 8) and w (steps, bits, n / 8) of each group.
        strings: u (n / 8,) and w (bits, n / 8) of each piece.
        words: u (n / 8,) and the word (words, n).
    """

    adder: list[tuple[Bytes, Bytes]]
    strings: list[tuple[Bytes, Bytes]]
    words: list[tuple[Bytes, RingArray]]


def turns(count: int) -> int:
    """Into how many the OTs of ``count`` elements are cut: in each one direction, then the other."""
    return -(-len(list(chunks(count))) // _CHUNKS_A_TURN)


def take(shape: Shape, role: int, ots: OtParty) -> Half[tuple[Offered, Chosen]]:
    """All OTs of a gate, hashed chunk by chunk while they are in the cache.

    One direction after the other for many chunks: a sender waits for nothing and works ahead of the receiver, where
    directions in turn would cost a round trip a chunk. Not for all chunks: a slow party would be silent for too long.
    """
    offered, chosen = [], []
    down, up = shape.directions
    sizes = [size for _, size in chunks(shape.spec.count)]
    own, others = (up, down) if role else (down, up)
    for turn in range(turns(shape.spec.count)):
        part = sizes[turn * _CHUNKS_A_TURN : (turn + 1) * _CHUNKS_A_TURN]
        for sends in (True, False) if role == 0 else (False, True):
            for size in part:
                if sends:
                    cots = yield from ots.sender.extend(size * own.cots)
                    offered.append(_offer(own, cots, ots.sender.delta, size, shape.spec.ring_bits))
                else:
                    cots = yield from ots.receiver.extend(size * others.cots)
                    chosen.append(_choose(others, cots, size, shape.spec.ring_bits))
            if sends:
                yield BARRIER
    mine = Offered(*(_joined([getattr(one, name) for one in offered]) for name in ("adder", "strings", "words")))
    theirs = Chosen(*(_joined([getattr(one, name) for one in chosen]) for name in ("adder", "strings", "words")))
    return mine, theirs


def _joined(parts: Sequence[Sequence[tuple[Bytes, Bytes]]]) -> list[tuple[Bytes, Bytes]]:
    """Chunks put together: elements, or their bits, are the last axis of every array."""
    return [
        (np.concatenate([one for one, _ in pieces], axis=-1), np.concatenate([two for _, two in pieces], axis=-1))
        for pieces in zip(*parts, strict=True)
    ]


def _offer(direction: Direction, cots: Cots, delta: Blocks, size: int, ring_bits: int) -> Offered:
    def string(steps: int, bits: int) -> tuple[Bytes, Bytes]:
        q, tweak = cots.take(steps * size)
        beta, v = bit_products_sender(q, delta.tobytes(), tweak, bits)
        return _by_step(beta, steps), _by_step(v, steps)

    adder = [string(steps, bits) for steps, bits in direction.adder]
    strings = [(beta[0], v[0]) for beta, v in (string(1, bits) for bits in direction.strings)]
    pads = [random_send(cots, delta, size, ring_bits) for _ in direction.bit_words]
    words = [(zero[None], (one - zero)[None]) for zero, one in pads]
    zero, one = random_send_pairs(cots, delta, size, ring_bits)
    return Offered(adder, strings, [*words, (zero, one - zero)])


def _choose(direction: Direction, cots: Cots, size: int, ring_bits: int) -> Chosen:
    def string(steps: int, bits: int) -> tuple[Bytes, Bytes]:
        t, tweak = cots.take(steps * size)
        u, w = bit_products_receiver(t, tweak, bits)
        return u.reshape(steps, -1), _by_step(w, steps)

    adder = [string(steps, bits) for steps, bits in direction.adder]
    strings = [(u[0], w[0]) for u, w in (string(1, bits) for bits in direction.strings)]
    words = []
    for _ in direction.bit_words:
        choice, word = random_receive(cots, size, ring_bits)
        words.append((as_plane(choice), word[None]))
    choice, pair = random_receive_pairs(cots, size, ring_bits)
    return Chosen(adder, strings, [*words, (as_plane(choice), pair)])


def _by_step(rows: Bytes, steps: int) -> Bytes:
    """(bits, steps * n / 8) to (steps, bits, n / 8)."""
    return np.ascontiguousarray(rows.reshape(len(rows), steps, -1).swapaxes(0, 1))
