"""The pair from a dealer.

server             dealer                              client
rho_s from seed_0      <- both seeds ->                    rho_c, r from seed_1
correction         <-- (r' >> t) + r
y_1 + rho_c        <-------------------------------------- from its share
"""

from pi_system.protocols.ot.strings import pack_ring, unpack_message
from pi_system.protocols.truncation.cost import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg


def deal(spec: TruncationSpec, seed0: bytes, seed1: bytes, fresh_mask: RingArray) -> memoryview:
    """The dealer's correction for the server, packed, from both parties' gate seeds and the client's r (n,)."""
    ring = Ring(spec.ring_bits)
    pair = ring.reduce(_summand(spec, seed0) + _summand(spec, seed1))
    return pack_ring((pair >> ring.dtype.type(spec.shift)) + fresh_mask, spec.ring_bits).data


def mask_share(spec: TruncationSpec, seed1: bytes, share: RingArray) -> memoryview:
    """The client, offline: y_1 + rho_c, packed, from its share (n,)."""
    return pack_ring(share + _summand(spec, seed1), spec.ring_bits).data


def receive_masked(spec: TruncationSpec, seed0: bytes, packed: memoryview) -> RingArray:
    """The server, offline: the offset y_1 + r' (n,) from the client's message. Raises RemoteProtocolError."""
    return Ring(spec.ring_bits).reduce(receive_correction(spec, packed) + _summand(spec, seed0))


def receive_correction(spec: TruncationSpec, packed: memoryview) -> RingArray:
    """The server, offline: the correction (n,) from the dealer's message. Raises RemoteProtocolError."""
    return unpack_message(packed, spec.count, spec.ring_bits, spec.ring_bits)


def _summand(spec: TruncationSpec, seed: bytes) -> RingArray:
    return Prg(seed).child("truncation").ring(spec.count, spec.ring_bits)
