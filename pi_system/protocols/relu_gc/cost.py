"""Declared sizes of the ReLU ``gc``: messages, material, and the costs that tests hold against a channel."""

from functools import lru_cache

import numpy as np

from pi_system.kernels.garble import garble_rows
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec, GateWork, Units
from pi_system.protocols.material import Shapes, padded
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.ot.strings import carrier


def message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the server's message for ``count`` elements."""
    return 16 * spec.comparison_bits * count


def reply_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the client's reply."""
    return packed_bytes(count, spec.ring_bits)


def offline_cost(spec: GateSpec) -> GateOfflineCost:
    """Declared offline cost: 32 (k - 1) bytes of tables and the projections' rows an element."""
    k, n = spec.comparison_bits, padded(spec.count)
    return GateOfflineCost(
        round_trips=1,
        server_to_client_bytes=32 * (k - 1) * n + packed_bytes(garble_rows(k, spec.shift) * n, spec.ring_bits),
        client_to_server_bytes=k * n // 8,
        server_cots=k * n,
        client_cots=0,
    )


@lru_cache
def server_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the server's material: seed of its labels, Delta, and its share of the results."""
    return {
        "seed": ((16,), np.uint8),
        "delta": ((16,), np.uint8),
        "offset": ((padded(spec.count),), carrier(spec.ring_bits)),
    }


@lru_cache
def client_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the client's material: its labels, the garbled circuits, r, and the first hash tweak."""
    k, n, ring = spec.comparison_bits, padded(spec.count), carrier(spec.ring_bits)
    return {
        "tweak": ((1,), np.uint64),
        "labels": ((k, 2 * n), np.uint64),
        "tables": ((k - 1, 4 * n), np.uint64),
        "rows": ((garble_rows(k, spec.shift), n), ring),
        "mask": ((n,), ring),
    }


def work(spec: GateSpec, count: int) -> GateWork:
    """By wires (``gc_wire``): choosing labels is a sixteenth of evaluating them."""
    call, wires = {"gc_call": 1}, spec.comparison_bits * count
    send, reply = {**call, "gc_wire": wires / 16}, {**call, "gc_wire": wires}
    return {"send": send, "work": {}, "reply": reply, "receive": call}


def prepared(spec: GateSpec) -> Units:
    """Elements times comparison bits."""
    return {"gc_prepared": spec.comparison_bits * spec.count}
