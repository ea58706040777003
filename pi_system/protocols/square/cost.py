"""Declared sizes of the square: messages, material, and the costs that tests hold against a channel."""

from collections.abc import Callable
from functools import lru_cache

from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec, GateWork, Units
from pi_system.protocols.material import Shapes, padded
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.ot.strings import carrier


def product_bits(spec: GateSpec) -> int:
    """Bits m of the product y_0 y_1: it is doubled, so its top bit leaves the ring."""
    return spec.ring_bits - 1


def delta_bytes(spec: GateSpec) -> int:
    """Bytes of the client's offline message, and of a dealer's correction."""
    return packed_bytes(spec.count, product_bits(spec))


def message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the server's message for ``count`` elements."""
    return packed_bytes(count, product_bits(spec))


def reply_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the client's reply."""
    return packed_bytes(count, spec.ring_bits)


def offline_cost(spec: GateSpec) -> GateOfflineCost:
    """Declared offline cost without a dealer: m (m + 1) / 2 bits and m COTs an element down, m bits up."""
    n, m = padded(spec.count), product_bits(spec)
    return GateOfflineCost(
        round_trips=1,
        server_to_client_bytes=n * m * (m + 1) // 16,
        client_to_server_bytes=delta_bytes(spec),
        server_cots=n * m,
        client_cots=0,
    )


def _elements(*names: str) -> Callable[[GateSpec], Shapes]:
    """Shapes of arrays of ring elements, one an element of the gate."""

    @lru_cache
    def shapes(spec: GateSpec) -> Shapes:
        return {name: ((spec.count,), carrier(spec.ring_bits)) for name in names}

    return shapes


server_shapes = _elements("a", "z", "delta")
"""The arrays of the server's material: a, z_0 and delta."""
client_shapes = _elements("b", "offset")
"""The arrays of the client's material: b and y_1^2 + 2 z_1 - r."""
server_stored = _elements("delta")
"""What the server keeps of a dealer's; the rest comes from its seed."""
client_stored = _elements("offset")
"""What the client keeps of a dealer's."""


def work(spec: GateSpec, count: int) -> GateWork:
    """By elements, once the difference is sent."""
    call, element = {"square_call": 1}, {"square_call": 1, "square_element": count}
    return {"send": call, "work": element, "reply": element, "receive": element}


def prepared(spec: GateSpec) -> Units:
    """Nothing beside bytes and OTs."""
    return {}
