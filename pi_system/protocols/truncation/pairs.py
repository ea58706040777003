"""The pair between two parties: the carry of the low bits (carry.py), then one OT of two ring elements.

    server: rho_s, t bits                    client: a = -y_1 mod 2^l
                                        <--  choices for a mod 2^t
                                        <--  its COTs, whose choice is the server's share of c
    block by block: a table             -->  its share of a carry, at last of c = [(a mod 2^t) + rho_s >= 2^t]
                                        <--  the choice of the next block
                                        <--  at last (a >> t) + c + r for both values of the server's share

Every line is sent for all chunks, and for all gates beside this truncation, before the server's next one.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import BARRIER, Half, Send, in_turn, receive_array
from pi_system.protocols.material import blocks, padded, padded_shares
from pi_system.protocols.ot import OtParty
from pi_system.protocols.ot.strings import pack_ring, random_receive, random_send, receive_ring
from pi_system.protocols.relu_gmw.planes import where_bit
from pi_system.protocols.truncation.carry import ClientCarry, ServerCarry, carry_blocks
from pi_system.protocols.truncation.cost import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg

_CHUNK: Final = 4096  # elements; their COTs, about 1 MB, mostly stay in the second-level cache


def offline_server(spec: TruncationSpec, ots: OtParty, prg: Prg) -> Half[tuple[RingArray, RingArray]]:
    """The server's offset and correction, (n,) each. Raises RemoteProtocolError."""
    rho: RingArray = prg.child("coins").ring(padded(spec.count), spec.shift)
    shares = prg.child("shares").ring(padded(spec.count), len(carry_blocks(spec.shift)))
    pieces = [(size, slice(first, first + size)) for first, size in blocks(spec.count, _CHUNK)]
    begun = yield from in_turn(_begin_server(spec, size, ots) for size, _ in pieces)
    yield BARRIER
    answers = yield from in_turn(receive_array((spec.shift, size // 8), np.uint8) for size, _ in pieces)
    chosen = yield from in_turn(_choices(spec, size, ots) for size, _ in pieces)
    for chunk, answer, (choice, _), (_, at) in zip(begun, answers, chosen, pieces, strict=True):
        chunk.start(answer, rho[at], [*_bits(shares[at], len(carry_blocks(spec.shift)) - 1), choice])
    for number, block in enumerate(carry_blocks(spec.shift)):
        for chunk, (size, _) in zip(begun, pieces, strict=True):
            plane = (yield from receive_array((size // 8,), np.uint8)) if block.at else None
            yield Send(chunk.table(number, plane).data)
        yield BARRIER
    opened = yield from in_turn(_open(spec, choice, pad) for choice, pad in chosen)
    correction = np.concatenate(opened)
    offset = rho.astype(correction.dtype)
    return offset[: spec.count], correction[: spec.count]


def _bits(values: RingArray, count: int) -> list[NDArray[np.uint8]]:
    """The lowest ``count`` bits of each, one after the other."""
    one = values.dtype.type(1)
    return [(values >> values.dtype.type(bit) & one).astype(np.uint8) for bit in range(count)]


def _begin_server(spec: TruncationSpec, size: int, ots: OtParty) -> Half[ServerCarry]:
    cots = yield from ots.sender.extend(size * sum(block.index_bits for block in carry_blocks(spec.shift)))
    return ServerCarry(spec.shift, cots, ots.sender.delta, size)


def _choices(spec: TruncationSpec, size: int, ots: OtParty) -> Half[tuple[Bytes, RingArray]]:
    """The server's share of the carry, a random choice, with its pad."""
    cots = yield from ots.receiver.extend(size)
    return random_receive(cots, size, spec.ring_bits)


def _open(spec: TruncationSpec, choice: Bytes, pad: RingArray) -> Half[RingArray]:
    zero, one = (yield from receive_ring(2 * len(choice), spec.ring_bits)).reshape(2, -1)
    return Ring(spec.ring_bits).reduce(where_bit(choice, one, zero) + pad)


@dataclass(slots=True)
class _ClientChunk:
    """The client's part of a chunk: the carry, pads for both values of the server's share of c, and (a >> t) + r."""

    carry: ClientCarry
    pads: tuple[RingArray, RingArray]
    value: RingArray


def offline_client(spec: TruncationSpec, y_share: NDArray[Any], fresh_mask: NDArray[Any], ots: OtParty) -> Half[None]:
    """The client's side; it keeps nothing but r. Raises RemoteProtocolError."""
    share, mask = padded_shares(spec.count, y_share, fresh_mask)
    ring = Ring(spec.ring_bits)
    negated = ring.reduce(np.negative(share))
    value = (negated >> ring.dtype.type(spec.shift)) + mask
    pieces = [(size, slice(first, first + size)) for first, size in blocks(spec.count, _CHUNK)]
    carries = yield from in_turn(_begin_client(spec, negated[at], ots) for _, at in pieces)
    kept = []
    for carry, (size, at) in zip(carries, pieces, strict=True):
        cots = yield from ots.sender.extend(size)
        pads = random_send(cots, ots.sender.delta, size, spec.ring_bits)
        kept.append(_ClientChunk(carry, pads, value[at]))
    for number, block in enumerate(carry_blocks(spec.shift)):
        yield BARRIER
        for chunk, (size, _) in zip(kept, pieces, strict=True):
            chunk.carry.take(number, (yield from receive_ring(size, block.table_bits)))
            last = block.at + block.bits == spec.shift
            yield Send((_offers(spec, chunk) if last else chunk.carry.choice(number + 1)).data)


def _begin_client(spec: TruncationSpec, a: RingArray, ots: OtParty) -> Half[ClientCarry]:
    cots = yield from ots.receiver.extend(len(a) * sum(block.index_bits for block in carry_blocks(spec.shift)))
    carry = ClientCarry(spec.shift, cots, a)
    yield Send(carry.choices().tobytes())
    return carry


def _offers(spec: TruncationSpec, chunk: _ClientChunk) -> Bytes:
    """The last message of a chunk."""
    zero, one = chunk.pads
    carry = chunk.carry.share.astype(zero.dtype)
    offers = chunk.value + carry - zero, chunk.value + zero.dtype.type(1) - carry - one
    return pack_ring(np.concatenate(offers), spec.ring_bits)
