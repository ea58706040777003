"""The square's products by Gilboa's method: one correlated OT a bit of b, b being the OTs' random choices.

The server adds a to the pads of OT i, which counts 2^i: of that only m - i bits are left modulo 2^m, and no more is
sent. Random choices save the message that would turn them to chosen ones; delta is that message.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import BARRIER, Half, Send, receive_array
from pi_system.protocols.material import Material, blocks, padded, padded_shares
from pi_system.protocols.ot import OtParty
from pi_system.protocols.ot.strings import (
    carrier,
    pack_ring,
    random_receive,
    random_send,
    receive_ring,
    unpack_ring,
)
from pi_system.protocols.square.cost import product_bits
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg

_CHUNK = 2048  # elements; their OT messages, up to 512 KB, are sent as one


def offline_server(spec: GateSpec, ots: OtParty, prg: Prg) -> Half[Material]:
    """The server's material; see protocols/square. Raises RemoteProtocolError."""
    m, ring = product_bits(spec), carrier(spec.ring_bits)
    a: RingArray = prg.ring(padded(spec.count), m).astype(ring, copy=False)
    z = np.zeros_like(a)
    for first, size in blocks(spec.count, _CHUNK):
        chunk = slice(first, first + size)
        cots = yield from ots.sender.extend(m * size)
        zero, one = (pads.reshape(m, size) for pads in random_send(cots, ots.sender.delta, m * size, spec.ring_bits))
        offers = zero - one + a[chunk]
        yield Send(b"".join(pack_ring(offers[i], m - i).tobytes() for i in range(m)))
        z[chunk] = 0 - _weighted_sum(zero)
    yield BARRIER
    delta = yield from receive_ring(spec.count, m, spec.ring_bits)
    return {"a": a[: spec.count], "z": z[: spec.count], "delta": delta}


def offline_client(
    spec: GateSpec, y_share: NDArray[Any], fresh_mask: NDArray[Any], ots: OtParty, prg: Prg
) -> Half[Material]:
    """The client's material; its randomness is in its OTs. See protocols/square. Raises RemoteProtocolError."""
    share, mask = padded_shares(spec.count, y_share, fresh_mask)
    m, ring = product_bits(spec), carrier(spec.ring_bits)
    b: RingArray = np.empty(padded(spec.count), ring)
    z = np.empty_like(b)
    for first, size in blocks(spec.count, _CHUNK):
        chunk = slice(first, first + size)
        cots = yield from ots.receiver.extend(m * size)
        choice, pads = random_receive(cots, m * size, spec.ring_bits)
        bits: RingArray = choice.reshape(m, size).astype(ring)
        b[chunk] = _weighted_sum(bits)
        offers = yield from _receive_offers(spec, size)
        z[chunk] = _weighted_sum(pads.reshape(m, size) + bits * offers)
    yield Send(pack_ring((share - b)[: spec.count], m).data)
    offset = Ring(spec.ring_bits).reduce(share * share + z + z - mask)
    return {"b": b[: spec.count], "offset": offset[: spec.count]}


def _receive_offers(spec: GateSpec, size: int) -> Half[RingArray]:
    """The server's message of one chunk, (m, size); row i has m - i bits."""
    m = product_bits(spec)
    sizes = [packed_bytes(size, m - i) for i in range(m)]
    packed = yield from receive_array((sum(sizes),), np.uint8)
    rows = np.split(packed, np.cumsum(sizes)[:-1])
    return np.stack([unpack_ring(row, size, m - i, spec.ring_bits) for i, row in enumerate(rows)])


def _weighted_sum(rows: RingArray) -> RingArray:
    """Row i times 2^i, summed over the rows (m, n)."""
    weights = np.arange(len(rows), dtype=rows.dtype)[:, None]
    total: RingArray = (rows << weights).sum(axis=0, dtype=rows.dtype)
    return total
