from typing import Any

import pytest
from tiny_artifact import GRAPH

from pi_system._proto.v1.control_pb2 import Profile
from pi_system.channel.memory import memory_pair
from pi_system.channel.profile import MAX_PIECES, Piece
from pi_system.errors import RemoteProtocolError
from pi_system.rpc.phase_profile import (
    MAX_PROFILE_BYTES,
    PhaseProfile,
    half_from_bytes,
    half_to_bytes,
    layer_kinds,
    start_profiler,
)

PIECES = (
    Piece(layer="conv", kind="conv2d", track="compute", start_ns=1_000_100, duration_ns=50),
    Piece(layer="relu", kind="relu", track="wait", start_ns=1_000_150, duration_ns=30, received_bytes=7, rounds=1),
    Piece(layer="relu", kind="relu", track="transfer", start_ns=1_000_180, duration_ns=5, sent_bytes=9),
    Piece(layer="output", kind="output", track="transfer", start_ns=1_000_190, duration_ns=1, sent_bytes=8),
)
DATA = half_to_bytes(PIECES, arrived_ns=1_000_000, replied_ns=1_000_040)


def test_the_servers_half_survives_the_wire_and_lands_on_the_clients_clock() -> None:
    half = half_from_bytes(DATA, "online", GRAPH)
    assert half.replied_ns == 40
    # Asked at 500, answered at 640: 100 on the way, 50 each: the command arrived at 550.
    pieces, error_us = half.on_clock_of(500, 640)
    assert [p.start_ns for p in pieces] == [650, 700, 730, 740]
    assert error_us == 0.05
    assert [(p.layer, p.kind, p.track, p.duration_ns) for p in pieces] == [
        (p.layer, p.kind, p.track, p.duration_ns) for p in PIECES
    ]
    assert [(p.sent_bytes, p.received_bytes, p.rounds) for p in pieces] == [(0, 0, 0), (0, 7, 1), (9, 0, 0), (8, 0, 0)]


def test_a_server_that_claims_more_time_than_passed_is_placed_at_the_request() -> None:
    pieces, error_us = half_from_bytes(DATA, "online", GRAPH).on_clock_of(500, 510)
    assert (pieces[0].start_ns, error_us) == (600, 0.0)


def changed(**fields: Any) -> Any:
    message = Profile.FromString(DATA)
    for name, value in fields.items():
        if isinstance(value, int):
            setattr(message, name, value)
        else:
            del getattr(message, name)[:]
            getattr(message, name).extend(value)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("data", "phase"),
    [
        pytest.param(b"\xff" * 50, "online", id="garbage"),
        pytest.param(DATA[:-3], "online", id="cut off"),
        pytest.param(DATA, "offline", id="layers of the other phase"),
        pytest.param(changed(layers=["conv", "relu", "\x1b[2J"]), "online", id="a name that is none of the model"),
        pytest.param(changed(layers=["conv"] * 5000), "online", id="more names than there can be"),
        pytest.param(changed(layer=[0, 1, 2, 3]), "online", id="a layer without a name"),
        pytest.param(changed(track=[0, 1, 2, 3]), "online", id="a track that is none"),
        pytest.param(changed(rounds=[0, 1, 2]), "online", id="fewer numbers than pieces"),
        pytest.param(changed(start_ns=[0] * 5), "online", id="more numbers than pieces"),
        pytest.param(changed(duration_ns=[1 << 63, 0, 0, 0]), "online", id="a time beyond reason"),
        pytest.param(changed(sent_bytes=[1 << 51, 0, 0, 0]), "online", id="bytes beyond reason"),
        pytest.param(changed(replied_ns=1 << 60), "online", id="a reply beyond reason"),
        pytest.param(
            changed(**{name: [0] * (2 * MAX_PIECES) for name in ("layer", "track", "start_ns", "duration_ns")}),
            "online",
            id="too many pieces",
        ),
    ],
)
def test_a_hostile_half_is_a_typed_error(data: bytes, phase: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="profile: expected"):
        half_from_bytes(data, phase, GRAPH)


def test_the_largest_honest_half_is_within_its_limit() -> None:
    numbers = {"start_ns": 1 << 49, "duration_ns": 1 << 40, "sent_bytes": 1 << 30, "received_bytes": 1 << 30}
    piece = Piece(layer="relu", kind="relu", track="wait", rounds=1, **numbers)
    data = half_to_bytes((piece,) * MAX_PIECES, arrived_ns=0, replied_ns=0)
    assert len(data) <= MAX_PROFILE_BYTES
    assert len(half_from_bytes(data, "online", GRAPH).pieces) == MAX_PIECES


def test_phases_start_where_they_should_and_know_their_kinds() -> None:
    channel, _ = memory_pair()
    (online,) = start_profiler("online", channel, GRAPH).stop()
    (offline,) = start_profiler("offline", channel, GRAPH).stop()
    assert (online.layer, online.kind, offline.layer, offline.kind) == ("input", "input", "setup", "setup")
    assert layer_kinds(GRAPH)["fc"] == "linear"


def test_coverage_is_the_part_that_pieces_explain() -> None:
    profile = PhaseProfile(phase="online", total_ms=172e-6, client=PIECES, server=None, clock_error_us=None)
    assert profile.coverage() == pytest.approx(86 / 172)
