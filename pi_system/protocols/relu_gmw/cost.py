"""Declared sizes of the ReLU ``gmw``: messages, material, and the costs that tests hold against a channel."""

from functools import lru_cache

import numpy as np

from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateCost, GateSpec
from pi_system.protocols.ot.gate import OfflineCost
from pi_system.protocols.ot.material import Shapes, padded
from pi_system.protocols.ot.strings import carrier
from pi_system.protocols.relu_gmw.plan import plan

__all__ = [
    "ROUND_TRIPS",
    "client_shapes",
    "cost",
    "message_bytes",
    "offline_cost",
    "reply_bytes",
    "server_cots",
    "server_shapes",
]

ROUND_TRIPS = 2


def message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the server's message for ``count`` elements."""
    cut, plane = plan(spec.comparison_bits), (count + 7) // 8
    if exchange == 1:
        return plane * cut.level2.message_planes
    return count * cut.word_bytes + packed_bytes(count, spec.ring_bits) + packed_bytes(count, spec.shift)


def reply_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the client's reply."""
    plane = (count + 7) // 8
    if exchange == 0:
        return plane * plan(spec.comparison_bits).reply_planes
    return plane + 2 * packed_bytes(count, spec.ring_bits)


def cost(spec: GateSpec) -> GateCost:
    """Declared online cost."""
    return GateCost(
        round_trips=ROUND_TRIPS,
        server_to_client_bytes=sum(message_bytes(spec, i, spec.count) for i in range(ROUND_TRIPS)),
        client_to_server_bytes=sum(reply_bytes(spec, i, spec.count) for i in range(ROUND_TRIPS)),
    )


def server_cots(spec: GateSpec) -> int:
    """COTs an element from server to client."""
    cut = plan(spec.comparison_bits)
    return cut.leaf_cots + cut.product_cots + (2 if spec.shift else 1)


def offline_cost(spec: GateSpec) -> OfflineCost:
    """Declared offline cost."""
    cut, n = plan(spec.comparison_bits), padded(spec.count)
    down, up = cut.offline_planes
    return OfflineCost(
        round_trips=1,
        server_to_client_bytes=down * n // 8,
        client_to_server_bytes=(cut.leaf_cots + up + (1 if spec.shift else 0)) * n // 8,
        server_cots=n * server_cots(spec),
        client_cots=n,
    )


@lru_cache
def server_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the server's material."""
    cut, n, ring = plan(spec.comparison_bits), padded(spec.count), carrier(spec.ring_bits)
    planes = {
        "level1_sigma": sum(len(group.coefficients) for group in cut.level1),
        "level1_offset": sum(group.outputs for group in cut.level1),
        "level2_mask": len(cut.level2.monomials),
        "level2_offset": 1,
        "choice": 1,
    }
    shapes = _plane_shapes(planes, n) | {name: ((n,), ring) for name in ("mask", "final_zero", "final_one")}
    if spec.shift:
        shapes["sign"] = ((n,), carrier(spec.shift))
    return shapes | {"pads": ((n * cut.word_bytes,), np.uint8)}


@lru_cache
def client_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the client's material."""
    cut, n, ring = plan(spec.comparison_bits), padded(spec.count), carrier(spec.ring_bits)
    leaves = len(cut.widths)
    planes = {
        "less": leaves,
        "equal": leaves - 1,
        "level1_mask": sum(len(group.monomials) for group in cut.level1),
        "level1_offset": sum(group.outputs for group in cut.level1),
        "level2_sigma": len(cut.level2.coefficients),
        "level2_offset": 1,
        "unmask_choice": 1,
    }
    words = ("unmask", "truncated", "reply_zero", "reply_one")
    shapes = _plane_shapes(planes, n) | {name: ((n,), ring) for name in words}
    if spec.shift:
        shapes |= {"sign": ((1, n // 8), np.uint8), "sign_word": ((n,), carrier(spec.shift))}
    return shapes | {"choices": ((leaves, n), np.uint8)}


def _plane_shapes(counts: dict[str, int], n: int) -> dict[str, tuple[tuple[int, ...], type]]:
    return {name: ((count, n // 8), np.uint8) for name, count in counts.items()}
