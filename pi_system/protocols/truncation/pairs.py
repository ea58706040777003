"""The pair between two parties: the comparison tree of the ReLU ``gmw``, run offline on the low bits alone.

    server: rho_s, t bits                                     client: a = -y_1 mod 2^l
    level 1 coefficients                             -->
                                                     <--      choices of the leaves for a mod 2^t, coefficients
                                                     <--      its COTs, whose choice is the server's share of c
    tables                                           -->
                                                     <--      level 1
    level 2                                          -->      its share of c = [(a mod 2^t) + rho_s >= 2^t]
                                                     <--      (a >> t) + c + r for both values of the server's share

Every line is sent for all chunks, and for all gates beside this truncation, before the server's next one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import BARRIER, Half, Send, in_turn, receive_array
from pi_system.protocols.material import padded, padded_shares
from pi_system.protocols.ot import OtParty
from pi_system.protocols.ot.strings import carrier, pack_ring, random_receive, random_send, receive_ring
from pi_system.protocols.relu_gmw.early import chunks, receive_planes, send_planes, stacked
from pi_system.protocols.relu_gmw.planes import as_bits, as_plane, where_bit
from pi_system.protocols.relu_gmw.tree import ClientTree, ServerTree
from pi_system.protocols.relu_gmw.tree_client import begin_client
from pi_system.protocols.relu_gmw.tree_server import ServerChunk, begin_server, finish_server, join_server
from pi_system.protocols.truncation.cost import TruncationSpec, cut_of
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg


def offline_server(spec: TruncationSpec, ots: OtParty, prg: Prg) -> Half[tuple[RingArray, RingArray]]:
    """The server's offset and correction, (n,) each. Raises RemoteProtocolError."""
    cut, pieces = cut_of(spec), list(chunks(spec.count))
    begun = yield from in_turn(_begin_server(spec, size, ots, prg) for _, size in pieces)
    yield BARRIER
    answers = yield from in_turn(receive_array((cut.offline_planes[1], size // 8), np.uint8) for _, size in pieces)
    chosen = yield from in_turn(_choices(spec, *chunk, ots) for chunk in zip(begun, answers, strict=True))
    tree = ServerTree(cut, join_server(cut, begun))
    coins: RingArray = prg.child("coins").ring(padded(spec.count), spec.shift).astype(carrier(spec.shift + 1))
    inputs = coins | coins.dtype.type(1 << spec.shift)  # the top bit makes the tree's result the carry itself
    for first, size in pieces:
        yield Send(tree.tables(inputs[first : first + size], first).data)
    yield BARRIER
    for first, size in pieces:
        answer = yield from receive_array((cut.reply_planes * size // 8,), np.uint8)
        yield Send(tree.last(tree.level1(answer, first, size), first, size).data)
    yield BARRIER
    opened = yield from in_turn(_open(spec, choice, pad) for choice, pad in chosen)
    correction = np.concatenate(opened)
    offset = coins.astype(correction.dtype)
    return offset[: spec.count], correction[: spec.count]


def _begin_server(spec: TruncationSpec, size: int, ots: OtParty, prg: Prg) -> Half[ServerChunk]:
    cut = cut_of(spec)
    cots = yield from ots.sender.extend(size * cut.cots)
    chunk, message = begin_server(cut, cots, ots.sender.delta, size, prg)
    yield from send_planes(message)
    return chunk


def _choices(spec: TruncationSpec, chunk: ServerChunk, answer: Bytes, ots: OtParty) -> Half[tuple[Bytes, RingArray]]:
    """The server's share of the carry, a random choice, with its pad."""
    size = 8 * answer.shape[1]
    cots = yield from ots.receiver.extend(size)
    choice, pad = random_receive(cots, size, spec.ring_bits)
    finish_server(cut_of(spec), chunk, answer, [as_plane(choice)])
    return choice, pad


def _open(spec: TruncationSpec, choice: Bytes, pad: RingArray) -> Half[RingArray]:
    zero, one = (yield from receive_ring(2 * len(choice), spec.ring_bits)).reshape(2, -1)
    return Ring(spec.ring_bits).reduce(where_bit(choice, one, zero) + pad)


@dataclass(slots=True)
class _ClientChunk:
    """What the client keeps of a chunk: its tree, pads for both values of the server's share of c, and (a >> t) + r."""

    tree: ClientTree
    pads: tuple[RingArray, RingArray]
    value: RingArray


def offline_client(
    spec: TruncationSpec, y_share: NDArray[Any], fresh_mask: NDArray[Any], ots: OtParty, prg: Prg
) -> Half[None]:
    """The client's side; it keeps nothing but r. Raises RemoteProtocolError."""
    share, mask = padded_shares(spec.count, y_share, fresh_mask)
    cut, ring = cut_of(spec), Ring(spec.ring_bits)
    negated = ring.reduce(np.negative(share))
    value = (negated >> ring.dtype.type(spec.shift)) + mask
    low = (negated & ring.dtype.type((1 << spec.shift) - 1)).astype(carrier(spec.shift + 1))
    pieces = [(size, slice(first, first + size)) for first, size in chunks(spec.count)]
    trees = yield from in_turn(_begin_client(spec, low[at], ots, prg) for _, at in pieces)
    kept = []
    for tree, (size, at) in zip(trees, pieces, strict=True):
        cots = yield from ots.sender.extend(size)
        pads = random_send(cots, ots.sender.delta, size, spec.ring_bits)
        kept.append(_ClientChunk(tree, pads, value[at]))
    yield BARRIER
    for chunk, (size, _) in zip(kept, pieces, strict=True):
        words = yield from receive_array((cut.word_bytes * size,), np.uint8)
        yield Send(chunk.tree.answer(words, 0, size).data)
    yield BARRIER
    for chunk, (size, _) in zip(kept, pieces, strict=True):
        message = yield from receive_array((cut.level2.message_planes * size // 8,), np.uint8)
        carry = as_bits(chunk.tree.result(message, 0, size)[0], size).astype(ring.dtype)
        zero, one = chunk.pads
        offers = chunk.value + carry - zero, chunk.value + ring.dtype.type(1) - carry - one
        yield Send(pack_ring(np.concatenate(offers), spec.ring_bits).data)


def _begin_client(spec: TruncationSpec, low: RingArray, ots: OtParty, prg: Prg) -> Half[ClientTree]:
    """Everything that needs only the server's COTs."""
    cut, size = cut_of(spec), len(low)
    cots = yield from ots.receiver.extend(size * cut.cots)
    corrections = yield from receive_planes(cut.offline_planes[0], size)
    material, planes = begin_client(cut, low, cots, corrections, prg)
    yield Send(stacked(planes, size).tobytes())
    return ClientTree(cut, material)
