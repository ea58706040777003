"""Declared sizes of the ReLU ``gmw``: messages, material, and the costs that tests hold against a channel."""

from functools import lru_cache

import numpy as np

from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec, GateWork, Units
from pi_system.protocols.material import Shapes, padded
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.ot.strings import carrier
from pi_system.protocols.relu_gmw.cut import Cut, lightest_cut
from pi_system.protocols.relu_gmw.tree import client_tree_shapes, server_tree_shapes

ROUND_TRIPS = 2


def cut_of(spec: GateSpec) -> Cut:
    """The tree of a gate. Raises ConfigError (k is too large)."""
    return lightest_cut(spec.comparison_bits, spec.shift)


def message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the server's message for ``count`` elements."""
    cut, plane = cut_of(spec), (count + 7) // 8
    if exchange == 1:
        return plane * cut.level2.message_planes
    return count * cut.word_bytes + packed_bytes(count, spec.ring_bits) + packed_bytes(count, spec.shift)


def reply_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Bytes of the client's reply."""
    plane = (count + 7) // 8
    if exchange == 0:
        return plane * cut_of(spec).reply_planes
    return plane + 2 * packed_bytes(count, spec.ring_bits)


def server_cots(spec: GateSpec) -> int:
    """COTs an element from server to client: the tree's, one for b rho, one for the wrap."""
    return cut_of(spec).cots + (2 if spec.shift else 1)


def offline_cost(spec: GateSpec) -> GateOfflineCost:
    """Declared offline cost."""
    n, truncates = padded(spec.count), int(spec.shift > 0)
    down, up = cut_of(spec).offline_planes
    return GateOfflineCost(
        round_trips=1,
        server_to_client_bytes=down * n // 8,
        client_to_server_bytes=(up + truncates + 2 * truncates * spec.ring_bits) * n // 8,
        server_cots=n * server_cots(spec),
        client_cots=n * (1 + truncates),
    )


@lru_cache
def server_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the server's material."""
    n, ring = padded(spec.count), carrier(spec.ring_bits)
    shapes = dict(server_tree_shapes(cut_of(spec), n))
    shapes |= {name: ((n,), ring) for name in ("mask", "final_zero", "final_one")}
    if spec.shift:
        shapes["sign"] = ((n,), carrier(spec.shift))
    return shapes


@lru_cache
def client_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the client's material."""
    n, ring = padded(spec.count), carrier(spec.ring_bits)
    shapes = dict(client_tree_shapes(cut_of(spec), n)) | {"unmask_choice": ((1, n // 8), np.uint8)}
    shapes |= {name: ((n,), ring) for name in ("unmask", "truncated", "reply_zero", "reply_one")}
    if spec.shift:
        shapes |= {"sign": ((1, n // 8), np.uint8), "sign_word": ((n,), carrier(spec.shift))}
    return shapes


def work(spec: GateSpec, count: int) -> GateWork:
    """A quarter of an element (``gmw_element``) a message, in both exchanges."""
    part = {"gmw_call": 1, "gmw_element": count / 4}
    return {"send": part, "work": {}, "reply": part, "receive": part}


def prepared(spec: GateSpec) -> Units:
    """Elements."""
    return {"gmw_prepared": spec.count}
