"""Declared sizes of the ReLU ``table``; tests hold them against a channel."""

from pi_system.protocols.gate import GateSpec, GateWork, Units
from pi_system.protocols.material import Shapes, padded
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.relu_dcf import gates as dcf
from pi_system.protocols.relu_table.products import turns
from pi_system.protocols.relu_table.shape import shape_of

ROUND_TRIPS = 1


def message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Of the server's message: as of ``relu_dcf``."""
    shape_of(spec)
    return dcf.message_bytes(spec, exchange, count)


def reply_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Of the client's reply: likewise."""
    shape_of(spec)
    return dcf.reply_bytes(spec, exchange, count)


def offline_cost(spec: GateSpec) -> GateOfflineCost:
    """Declared offline cost: OTs in both directions, then rounds."""
    shape, n = shape_of(spec), padded(spec.count)
    down, up = shape.directions
    return GateOfflineCost(
        round_trips=turns(spec.count),
        server_to_client_bytes=shape.sent_bytes(0),
        client_to_server_bytes=shape.sent_bytes(1),
        server_cots=n * down.cots,
        client_cots=n * up.cots,
        rounds=len(shape.rounds(0)),
    )


def server_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the server's material: table and offsets, its shares, y_1 + r' mod 2^k."""
    shape_of(spec)
    return dcf.server_shapes(spec, stored=True)


def client_shapes(spec: GateSpec) -> Shapes:
    """The arrays of the client's material: table and shares."""
    shape_of(spec)
    return dcf.client_shapes(spec, stored=True)


def work(spec: GateSpec, count: int) -> GateWork:
    """That of ``relu_dcf`` with no level of AES: a bit of a table is read, every element touched once at each party."""
    shape_of(spec)
    call, element = {"fss_call": 1}, {"fss_call": 1, "fss_element": count}
    return {"send": call, "work": {}, "reply": element, "receive": element}


def prepared(spec: GateSpec) -> Units:
    """Elements, and bits of tables."""
    return {"table_prepared": spec.count, "table_entry": spec.count << (spec.compared_bits - 1)}
