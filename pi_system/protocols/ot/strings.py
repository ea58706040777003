"""Random OTs of ring elements from COTs, and elements as messages.

Functionality: for each of n COTs, with l = ring_bits, the sender gets (w0, w1) in Z_{2^l}, the receiver a random bit u
               and w_u.
Inputs:   Cots of each party.
Outputs:  arrays (n,) in the carrier of Z_{2^l}; bits (n,) uint8.
Cost:     no message; one COT each.
Error:    none.
Security: semi-honest; the correlation robustness of the hash in ot_hash.cpp.
Source:   Beaver 1995 (precomputed OT); Asharov, Lindell, Schneider, Zohner, eprint 2013/552 (from correlated OTs).
"""

import numpy as np

from pi_system.errors import RemoteProtocolError
from pi_system.kernels.ot import Blocks, cr_hash
from pi_system.kernels.packing import Bytes, pack_bits, packed_bytes, unpack_bits
from pi_system.protocols.half import Half, receive_array
from pi_system.protocols.ot.base import Cots
from pi_system.ring.carrier import RingArray


def pack_ring(values: RingArray, ring_bits: int) -> Bytes:
    """(n,) elements as one bit string."""
    packed = np.empty(packed_bytes(values.size, ring_bits), np.uint8)
    pack_bits(np.ascontiguousarray(values), ring_bits, packed)
    return packed


def unpack_ring(packed: Bytes, count: int, bits: int, ring_bits: int | None = None) -> RingArray:
    """Undo ``pack_ring``; elements of ``bits`` bits of a larger ring come in the carrier of ``ring_bits``."""
    out: RingArray = np.empty(count, carrier(ring_bits or bits))
    unpack_bits(packed, bits, out)
    return out


def unpack_message(message: memoryview, count: int, bits: int, ring_bits: int) -> RingArray:
    """``unpack_ring`` of a message that came. Raises RemoteProtocolError for one of another size."""
    if message.nbytes != packed_bytes(count, bits):
        raise RemoteProtocolError(f"elements: expected {packed_bytes(count, bits)} bytes, found {message.nbytes}")
    return unpack_ring(np.frombuffer(message, np.uint8), count, bits, ring_bits)


def receive_ring(count: int, bits: int, ring_bits: int | None = None) -> Half[RingArray]:
    """The peer's next message, of ``pack_ring``; see ``unpack_ring``. Raises RemoteProtocolError."""
    packed = yield from receive_array((packed_bytes(count, bits),), np.uint8)
    return unpack_ring(packed, count, bits, ring_bits)


def carrier(ring_bits: int) -> type:
    """The numpy type of ring elements."""
    return np.uint32 if ring_bits <= 32 else np.uint64


def words(blocks: Blocks, tweak: int, ring_bits: int) -> RingArray:
    """Hash blocks to ring elements."""
    low: RingArray = cr_hash(blocks, tweak)[:, 0].astype(carrier(ring_bits))
    return low


def random_send(cots: Cots, delta: Blocks, count: int, ring_bits: int) -> tuple[RingArray, RingArray]:
    """w0 and w1, (n,), for ``count`` of the sender's COTs."""
    q, tweak = cots.take(count)
    return words(q, tweak, ring_bits), words(q ^ delta, tweak, ring_bits)


def random_receive(cots: Cots, count: int, ring_bits: int) -> tuple[Bytes, RingArray]:
    """u and w_u, (n,)."""
    t, tweak = cots.take(count)
    return (t[:, 0] & np.uint64(1)).astype(np.uint8), words(t, tweak, ring_bits)


def random_send_pairs(cots: Cots, delta: Blocks, count: int, ring_bits: int) -> tuple[RingArray, RingArray]:
    """As ``random_send``, two elements an OT: (2, n) each."""
    q, tweak = cots.take(count)
    return _word_pairs(q, tweak, ring_bits), _word_pairs(q ^ delta, tweak, ring_bits)


def random_receive_pairs(cots: Cots, count: int, ring_bits: int) -> tuple[Bytes, RingArray]:
    """As ``random_receive``, two elements an OT: u (n,) and w_u (2, n)."""
    t, tweak = cots.take(count)
    return (t[:, 0] & np.uint64(1)).astype(np.uint8), _word_pairs(t, tweak, ring_bits)


def _word_pairs(blocks: Blocks, tweak: int, ring_bits: int) -> RingArray:
    return np.ascontiguousarray(cr_hash(blocks, tweak).T.astype(carrier(ring_bits)))
