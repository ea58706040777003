"""The server's offline phase: correlated OTs to one gate's material.

    server                                                               client
    level 1 coefficients of every chunk (tree_server.py)            -->
                                                                    <--  tree_client.py's planes, choice for the wrap
    chunk by chunk, COTs whose sender is the client: the server's shares of b and c are their random choices
                                                                    <--  corrections of 2 c_s A_1 and 2 c_s r

Elements go in chunks, so that COTs are hashed while they are in the cache. The server sends what it can for all
chunks (and all gates beside this one), then listens; the client answers chunk by chunk, then sends its own COTs: one
round trip.
"""

from dataclasses import dataclass

import numpy as np

from pi_system.kernels.packing import Bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import BARRIER, Half, in_turn, receive_array
from pi_system.protocols.material import Material
from pi_system.protocols.ot import OtParty
from pi_system.protocols.ot.strings import random_receive, random_receive_pairs, random_send, receive_ring
from pi_system.protocols.relu_gmw.cost import cut_of, server_cots
from pi_system.protocols.relu_gmw.early import chunks, joined, send_planes
from pi_system.protocols.relu_gmw.planes import as_bits, as_plane, negated_where, where_bit
from pi_system.protocols.relu_gmw.tree_server import ServerChunk, begin_server, finish_server, join_server
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg


@dataclass(slots=True)
class _Chunk:
    """A chunk between the two halves of the exchange; pads are of the OT for b rho and of that for the wrap."""

    size: int
    tree: ServerChunk
    unmask: tuple[RingArray, RingArray]
    wrap: tuple[RingArray, RingArray] | None


def offline_server(spec: GateSpec, ots: OtParty, prg: Prg) -> Half[Material]:
    """The server's material; see protocols/relu_gmw. Raises RemoteProtocolError or ConfigError."""
    cut = cut_of(spec)
    begun = yield from in_turn(_begin(spec, size, ots, prg) for _, size in chunks(spec.count))
    yield BARRIER
    planes = cut.offline_planes[1] + (1 if spec.shift else 0)
    answers = yield from in_turn(receive_array((planes, chunk.size // 8), np.uint8) for chunk in begun)
    words = yield from in_turn(_finish(spec, *chunk, ots) for chunk in zip(begun, answers, strict=True))
    return join_server(cut, [chunk.tree for chunk in begun]) | joined(words)


def _begin(spec: GateSpec, size: int, ots: OtParty, prg: Prg) -> Half[_Chunk]:
    """Everything that does not depend on the client; sends the level 1 coefficients."""
    cots, delta = (yield from ots.sender.extend(size * server_cots(spec))), ots.sender.delta
    tree, message = begin_server(cut_of(spec), cots, delta, size, prg)
    yield from send_planes(message)
    unmask = random_send(cots, delta, size, spec.ring_bits)
    return _Chunk(size, tree, unmask, random_send(cots, delta, size, spec.shift) if spec.shift else None)


def _finish(spec: GateSpec, chunk: _Chunk, answer: Bytes, ots: OtParty) -> Half[Material]:
    """The OTs in which the server chooses, by its shares of b and c, which are the random choices."""
    cots = yield from ots.receiver.extend(chunk.size * (2 if spec.shift else 1))
    choice, chosen = random_receive(cots, chunk.size, spec.ring_bits)
    rho, words = _unmasking(chunk.unmask, choice, chosen)
    choices = [as_plane(choice)]
    if chunk.wrap is not None:
        carry, pads = random_receive_pairs(cots, chunk.size, spec.ring_bits)
        choices.append(as_plane(carry))
        sent = (yield from receive_ring(2 * chunk.size, spec.ring_bits)).reshape(2, -1)
        truncated, fresh = pads + where_bit(carry, sent, np.zeros_like(sent))
        words = {name: word - fresh for name, word in words.items()}
        own, words["sign"] = _wrap(chunk.wrap, as_bits(answer[-1], chunk.size))
        rho = rho - truncated + (own.astype(rho.dtype) << rho.dtype.type(spec.ring_bits - spec.shift))
    finish_server(cut_of(spec), chunk.tree, answer, choices)
    return words | {"mask": rho}


def _unmasking(unmask: tuple[RingArray, RingArray], choice: Bytes, chosen: RingArray) -> tuple[RingArray, Material]:
    """The mask rho with (1 - 2 b_s) rho = h_1 - h_0, the pads ``unmask``; and the server's part of b rho."""
    rho = negated_where(choice, unmask[1] - unmask[0])
    kept = rho * choice.astype(rho.dtype) - chosen
    return rho, {"final_zero": kept - unmask[0], "final_one": kept + unmask[1]}


def _wrap(pads: tuple[RingArray, RingArray], flipped: Bytes) -> tuple[RingArray, RingArray]:
    """The pad that the client gets where its share is not negative, and that minus the other."""
    zero, one = pads
    own, other = where_bit(flipped, one, zero), where_bit(flipped, zero, one)
    return own, own - other
