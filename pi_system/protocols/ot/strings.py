"""OTs of ring elements from COTs: random, correlated and chosen.

Functionality: for each of n COTs, with l = ring_bits,
               random:     the sender gets (w0, w1) in Z_{2^l}, the receiver a random bit u and w_u;
               correlated: for the sender's c, the receiver's b: sender x, receiver x + b c;
               chosen:     for the sender's (m0, m1), the receiver's b: receiver m_b.
Inputs:   Cots of each party; arrays (n,) in the carrier of Z_{2^l}; bits (n,) uint8.
Outputs:  see above.
Offline:  the receiver's random bits are turned to its chosen ones by one message of n bits (``flip``).
Online:   correlated: one message of n l bits from the sender; chosen: one of 2 n l bits.
Cost:     as said; random: no message. One COT each.
Error:    none.
Security: semi-honest; the correlation robustness of the hash in ot_hash.cpp.
Source:   Beaver 1995 (precomputed OT); Asharov, Lindell, Schneider, Zohner, eprint 2013/552 (correlated OT).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.base import Channel
from pi_system.kernels.ot import Blocks, Bytes, cr_hash
from pi_system.kernels.packing import pack_bits, packed_bytes, unpack_bits
from pi_system.protocols.ot.base import Cots, receive_array

__all__ = [
    "choose",
    "chosen_receive",
    "chosen_send",
    "correlated_receive",
    "correlated_send",
    "flip",
    "random_receive",
    "random_receive_pairs",
    "random_send",
    "random_send_pairs",
    "receive_ring",
    "send_ring",
]

RingArray = NDArray[Any]


def send_ring(channel: Channel, values: RingArray, ring_bits: int) -> None:
    """Send (n,) elements as one bit string."""
    channel.send(pack_ring(values, ring_bits).tobytes())


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


def receive_ring(channel: Channel, count: int, bits: int, ring_bits: int | None = None) -> RingArray:
    """Receive what ``send_ring`` sent; see ``unpack_ring``. Raises RemoteProtocolError."""
    return unpack_ring(receive_array(channel, (packed_bytes(count, bits),), np.uint8), count, bits, ring_bits)


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
    """U and w_u, (n,)."""
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


def choose(channel: Channel, choice: Bytes, random_choice: Bytes) -> None:
    """The receiver sends choice ^ random choice: n bits."""
    channel.send(np.packbits(choice ^ random_choice, bitorder="little").tobytes())


def flip(channel: Channel, pair: tuple[RingArray, RingArray]) -> tuple[RingArray, RingArray]:
    """The sender swaps (w0, w1) where the receiver's choice is not its random bit. Raises RemoteProtocolError."""
    count = len(pair[0])
    planes = receive_array(channel, ((count + 7) // 8,), np.uint8)
    swapped = np.unpackbits(planes, count=count, bitorder="little").astype(bool)
    return np.where(swapped, pair[1], pair[0]), np.where(swapped, pair[0], pair[1])


def correlated_send(channel: Channel, cots: Cots, delta: Blocks, correlation: RingArray, ring_bits: int) -> RingArray:
    """Return x for the sender's ``correlation`` c (n,); the receiver gets x + b c. Raises RemoteProtocolError."""
    zero, one = flip(channel, random_send(cots, delta, len(correlation), ring_bits))
    send_ring(channel, zero - one + correlation, ring_bits)
    return zero


def correlated_receive(channel: Channel, cots: Cots, choice: Bytes, ring_bits: int) -> RingArray:
    """Return x + b c for choice bits b (n,). Raises RemoteProtocolError."""
    random_choice, pad = random_receive(cots, len(choice), ring_bits)
    choose(channel, choice, random_choice)
    correction = receive_ring(channel, len(choice), ring_bits)
    result: RingArray = pad + np.where(choice.astype(bool), correction, correction.dtype.type(0))
    return result


def chosen_send(
    channel: Channel, cots: Cots, delta: Blocks, messages: tuple[RingArray, RingArray], ring_bits: int
) -> None:
    """Offer the messages m0 and m1, (n,). Raises RemoteProtocolError."""
    zero, one = flip(channel, random_send(cots, delta, len(messages[0]), ring_bits))
    send_ring(channel, np.concatenate([messages[0] - zero, messages[1] - one]), ring_bits)


def chosen_receive(channel: Channel, cots: Cots, choice: Bytes, ring_bits: int) -> RingArray:
    """Return m_b for choice bits b (n,). Raises RemoteProtocolError."""
    random_choice, pad = random_receive(cots, len(choice), ring_bits)
    choose(channel, choice, random_choice)
    masked = receive_ring(channel, 2 * len(choice), ring_bits).reshape(2, -1)
    result: RingArray = pad + np.where(choice.astype(bool), masked[1], masked[0])
    return result
