"""The square's products from a dealer, and the client's offline message; see protocols/square.

server             dealer              client
a, z_0 from seed_0     <- both seeds ->     b from seed_1
                        z_1 = a b - z_0 -->
delta              <----------------- y_1 - b
"""

import numpy as np

from pi_system.errors import RemoteProtocolError
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot.material import Material
from pi_system.protocols.ot.strings import carrier, pack_ring, unpack_ring
from pi_system.protocols.square.cost import delta_bytes, product_bits
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg

__all__ = ["client_material", "client_offset", "deal", "receive_delta", "server_material"]


def deal(spec: GateSpec, seed0: bytes, seed1: bytes) -> memoryview:
    """The dealer's correction for the client, z_1 packed to m bits, from both parties' gate seeds."""
    product = _stream(spec, seed0, "a") * _stream(spec, seed1, "b")
    return pack_ring(product - _stream(spec, seed0, "z"), product_bits(spec)).data


def client_offset(
    spec: GateSpec, seed1: bytes, correction: memoryview, share: RingArray, fresh_mask: RingArray
) -> tuple[memoryview, RingArray]:
    """The client, offline, from its share y_1 and the mask r, (count,) each.

    Returns:
        delta for the server, packed, and y_1^2 + 2 z_1 - r (count,) to keep.

    Raises:
        RemoteProtocolError: the dealer's correction has another size.
    """
    products = _unpacked(spec, correction)
    delta = pack_ring(share - _stream(spec, seed1, "b"), product_bits(spec)).data
    return delta, Ring(spec.ring_bits).reduce(share * share + products + products - fresh_mask)


def receive_delta(spec: GateSpec, packed: memoryview) -> RingArray:
    """The server, offline: delta (count,) from the client's message. Raises RemoteProtocolError."""
    return _unpacked(spec, packed)


def server_material(spec: GateSpec, seed0: bytes, delta: RingArray) -> Material:
    """The server's material for its gate: a and z_0 from its seed."""
    return {"a": _stream(spec, seed0, "a"), "z": _stream(spec, seed0, "z"), "delta": delta}


def client_material(spec: GateSpec, seed1: bytes, offset: RingArray) -> Material:
    """The client's material for its gate: b from its seed."""
    return {"b": _stream(spec, seed1, "b"), "offset": offset}


def _stream(spec: GateSpec, seed: bytes, name: str) -> RingArray:
    """Uniform elements of m bits, in the ring's carrier."""
    drawn = Prg(seed).child("square", name).ring(spec.count, product_bits(spec))
    return drawn.astype(carrier(spec.ring_bits), copy=False)


def _unpacked(spec: GateSpec, packed: memoryview) -> RingArray:
    if packed.nbytes != delta_bytes(spec):
        raise RemoteProtocolError(f"square: expected {delta_bytes(spec)} bytes, found {packed.nbytes}")
    return unpack_ring(np.frombuffer(packed, np.uint8), spec.count, product_bits(spec), spec.ring_bits)
