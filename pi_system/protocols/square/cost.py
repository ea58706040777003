"""Declared sizes of the square: messages, material, and the costs that tests hold against a channel."""

from functools import lru_cache

from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateCost, GateSpec
from pi_system.protocols.ot.gate import OfflineCost
from pi_system.protocols.ot.material import Shapes, padded
from pi_system.protocols.ot.strings import carrier

__all__ = ["client_shapes", "cost", "delta_bytes", "offline_cost", "product_bits", "server_shapes"]


def product_bits(spec: GateSpec) -> int:
    """Bits m of the product y_0 y_1: it is doubled, so its top bit leaves the ring."""
    return spec.ring_bits - 1


def delta_bytes(spec: GateSpec) -> int:
    """Bytes of the client's offline message, and of a dealer's correction."""
    return packed_bytes(spec.count, product_bits(spec))


def cost(spec: GateSpec) -> GateCost:
    """Declared online cost."""
    return GateCost(
        round_trips=1,
        server_to_client_bytes=packed_bytes(spec.count, product_bits(spec)),
        client_to_server_bytes=packed_bytes(spec.count, spec.ring_bits),
    )


def offline_cost(spec: GateSpec) -> OfflineCost:
    """Declared offline cost without a dealer: m (m + 1) / 2 bits and m COTs an element down, m bits up."""
    n, m = padded(spec.count), product_bits(spec)
    return OfflineCost(
        round_trips=1,
        server_to_client_bytes=n * m * (m + 1) // 16,
        client_to_server_bytes=delta_bytes(spec),
        server_cots=n * m,
        client_cots=0,
    )


@lru_cache
def server_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the server's material: a, z_0 and delta."""
    ring = carrier(spec.ring_bits)
    return {name: ((spec.count,), ring) for name in ("a", "z", "delta")}


@lru_cache
def client_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the client's material: b and y_1^2 + 2 z_1 - r."""
    ring = carrier(spec.ring_bits)
    return {name: ((spec.count,), ring) for name in ("b", "offset")}
