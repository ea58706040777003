"""The square against y * y: both ways to prepare it, declared costs, malformed messages, fixed bytes, uniform views."""

import hashlib
from typing import Any

import numpy as np
import ot_gates
import pytest
from gates import SQUARES, dealt_material, exchange
from halves import run_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ot_gates import SEED, Prepared
from scipy import stats

from pi_system.errors import (
    ConfigError,
    CorrelationMismatchError,
    LocalProtocolError,
    RemoteProtocolError,
)
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot.ideal import insecure_parties
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.protocols.square import DEALT_SQUARE, SQUARE
from pi_system.protocols.square.cost import delta_bytes
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg

SEED0, SEED1, SALT = b"server gate seed", b"client gate seed", b"not for a square"
WAYS = pytest.mark.parametrize("way", ["dealt", "gilboa"])
RINGS = (8, 31, 32, 33, 48, 59, 63, 64)


def gate(count: int = 100, ring_bits: int = 59) -> GateSpec:
    bits = (ring_bits + 1) // 2
    return GateSpec(kind="square", count=count, ring_bits=ring_bits, comparison_bits=bits, shift=0)


def inputs(spec: GateSpec) -> NDArray[np.int64]:
    """Extremes first, then anything below 2^(k-1)."""
    top = (1 << (spec.comparison_bits - 1)) - 1
    drawn = Prg(SEED).ring(spec.count, 64).astype(np.int64) % (2 * top + 1) - top
    drawn[:5] = np.array([top, -top, 0, 1, -1])[: spec.count]
    return drawn


def prepare(way: str, spec: GateSpec, y: NDArray[np.int64] | None = None, *, silent: bool = False) -> Prepared:
    """Offline phase from a dealer, or over ideal OTs, or over real ones when ``silent``."""
    y = inputs(spec) if y is None else y
    if way == "gilboa":
        return ot_gates.prepare(SQUARE, spec, y, silent=silent)
    y_server, y_client, mask = ot_gates.share(spec, y)
    return Prepared(y, y_server, mask, dealt_material(DEALT_SQUARE, spec, y_client, mask, SEED0, SEED1, SALT))


def gates(way: str, spec: GateSpec, prepared: Prepared) -> tuple[ServerGate, ClientGate]:
    mine, theirs = prepared.material
    return SQUARES[way].server_gate(spec, mine), SQUARES[way].client_gate(spec, theirs)


def drive(
    way: str, spec: GateSpec, prepared: Prepared, chunk: int = 1 << 14
) -> tuple[NDArray[Any], list[bytes], list[bytes]]:
    """Run the online phase chunk by chunk: D, the messages down and up."""
    server, client = gates(way, spec, prepared)
    down, up = exchange(server, client, prepared.y_server, chunk)
    return server.result(), down, up


def check_output(spec: GateSpec, prepared: Prepared, result: NDArray[Any]) -> None:
    ring = Ring(spec.ring_bits)
    assert (ring.reduce(result) == result).all()
    opened = ring.to_signed(result + prepared.fresh_mask)
    assert opened.tolist() == [int(y) ** 2 for y in prepared.y]


@WAYS
@pytest.mark.parametrize("ring_bits", RINGS)
def test_the_output_is_the_square(way: str, ring_bits: int) -> None:
    spec = gate(200, ring_bits)
    prepared = prepare(way, spec)
    check_output(spec, prepared, drive(way, spec, prepared)[0])


@WAYS
@pytest.mark.parametrize(("count", "chunk"), [(1, 32), (31, 32), (33, 32), (2049, 1024), (5000, 4096)])
def test_counts_and_chunks(way: str, count: int, chunk: int) -> None:
    spec = gate(count, 48)
    prepared = prepare(way, spec)
    check_output(spec, prepared, drive(way, spec, prepared, chunk)[0])


@WAYS
@settings(max_examples=40)
@given(data=st.data())
def test_any_value_in_any_ring(way: str, data: st.DataObject) -> None:
    ring_bits = data.draw(st.integers(8, 64), "ring bits")
    bits = data.draw(st.integers(2, (ring_bits + 1) // 2), "bits")
    top = (1 << (bits - 1)) - 1
    values = np.array(data.draw(st.lists(st.integers(-top, top), min_size=1, max_size=40), "values"), np.int64)
    spec = GateSpec(kind="square", count=len(values), ring_bits=ring_bits, comparison_bits=bits, shift=0)
    prepared = prepare(way, spec, values)
    check_output(spec, prepared, drive(way, spec, prepared)[0])


def test_over_silent_ots() -> None:
    spec = gate(300, 59)
    prepared = prepare("gilboa", spec, silent=True)
    check_output(spec, prepared, drive("gilboa", spec, prepared)[0])


@WAYS
@pytest.mark.parametrize("ring_bits", [32, 59, 64])
def test_declared_costs_are_counted(way: str, ring_bits: int) -> None:
    spec = gate(2500, ring_bits)
    prepared = prepare(way, spec)
    _, down, up = drive(way, spec, prepared)
    declared = SQUARES[way].cost(spec)
    assert declared.round_trips == len(down)
    assert sum(map(len, down)) == declared.server_to_client_bytes == (2500 * (ring_bits - 1) + 7) // 8
    assert sum(map(len, up)) == declared.client_to_server_bytes == (2500 * ring_bits + 7) // 8
    if prepared.counters is None:
        assert DEALT_SQUARE.dealt_bytes(spec) == ((), ((2500 * (ring_bits - 1) + 7) // 8,))
        return
    offline, (server, client) = SQUARE.offline_cost(spec), prepared.counters
    assert server.sent_bytes == client.received_bytes == offline.server_to_client_bytes
    assert client.sent_bytes == server.received_bytes == offline.client_to_server_bytes
    assert server.rounds <= offline.round_trips == 1
    ends = [insecure_parties(SEED)[side] for side in (0, 1)]
    assert len(run_alone(ends[0].sender.extend(offline.server_cots))) == 2528 * (ring_bits - 1)


@pytest.mark.parametrize("fields", [{"comparison_bits": 31}, {"shift": 1}, {"count": 0}])
def test_a_spec_without_room_is_refused(fields: dict[str, int]) -> None:
    values: dict[str, Any] = {"count": 1, "ring_bits": 60, "comparison_bits": 30, "shift": 0}
    GateSpec(kind="square", **values)
    with pytest.raises(ConfigError, match="expected"):
        GateSpec(kind="square", **(values | fields))


@pytest.mark.parametrize("change", [-1, 1])
def test_dealt_messages_of_wrong_length_are_remote_errors(change: int) -> None:
    spec = gate(64)
    wrong = memoryview(bytes(delta_bytes(spec) + change))
    share = np.zeros(64, np.uint64)
    with pytest.raises(RemoteProtocolError, match="square: expected"):
        DEALT_SQUARE.client_offline(spec, SEED1, SALT, share, share, [wrong])
    with pytest.raises(RemoteProtocolError, match="square: expected"):
        DEALT_SQUARE.server_offline(spec, SEED0, SALT, [], wrong)


@pytest.mark.parametrize("party", ["server", "client"])
def test_an_offline_message_of_wrong_length_is_a_remote_error(party: str) -> None:
    spec, ends, share = gate(64), insecure_parties(SEED), np.zeros(64, np.uint64)
    halves = {
        "server": SQUARE.offline_server(spec, ends[0], Prg(SEED)),
        "client": SQUARE.offline_client(spec, share, share, ends[1], Prg(SEED)),
    }
    with pytest.raises(RemoteProtocolError, match="found 7"):
        run_alone(halves[party], b"x" * 7)


def test_material_and_shares_of_another_size_are_refused() -> None:
    spec, share = gate(64), np.zeros(63, np.uint64)
    mine, theirs = prepare("gilboa", spec).material
    with pytest.raises(CorrelationMismatchError):
        SQUARE.server_gate(gate(65), mine)
    with pytest.raises(CorrelationMismatchError):
        SQUARE.client_gate(spec, theirs | {"b": theirs["b"].astype(np.uint32)})
    with pytest.raises(LocalProtocolError, match="64"):
        run_alone(SQUARE.offline_client(spec, share, share, insecure_parties(SEED)[1], Prg(SEED)))


@pytest.mark.parametrize(
    ("way", "ring_bits", "expected"),
    [
        ("dealt", 32, "33c1daca32b9a5fd cfd74606b2d52312 2bfc3cecc848065d 5e62c7332e4ca39a"),
        ("dealt", 59, "7dd72efe1827c251 ac9f56637c4abf9a cf3344809e47bf30 d49ac6d9ad815664"),
        ("gilboa", 32, "77f0cee7a912f3cf 8254a212255cb2d4 bf76ed5c322b014d 5e62c7332e4ca39a"),
        ("gilboa", 59, "f2c2e170e53dc11d cebdd1a3b88b4d8f 60b5ee09a76a78e3 d49ac6d9ad815664"),
    ],
)
def test_transcript_of_fixed_seeds(way: str, ring_bits: int, expected: str) -> None:
    """Stored correlations must stay readable and messages the same: a change needs a new artifact version."""
    spec = gate(45, ring_bits)
    prepared = prepare(way, spec)
    mine, theirs = prepared.material
    steps = SQUARES[way].server_steps(spec, mine), SQUARES[way].client_steps(spec, theirs)
    material = [array for party in steps for array in party._material.values()]
    result, down, up = drive(way, spec, prepared)
    parts = [b"".join(array.tobytes() for array in material), *down, *up, result.tobytes()]
    assert " ".join(hashlib.sha256(part).hexdigest()[:16] for part in parts) == expected


@WAYS
def test_what_each_party_receives_is_uniform(way: str) -> None:
    """The same secrets many times: bytes look uniform and do not tell zeros from large values."""
    spec = gate(20_000, 64)
    top = (1 << (spec.comparison_bits - 1)) - 1
    zeros, large = (_views(way, spec, prepare(way, spec, np.full(spec.count, value))) for value in (0, top))
    for fixed, varied in zip(zeros, large, strict=True):
        assert stats.chisquare(fixed).pvalue > 1e-8
        assert stats.chisquare(varied).pvalue > 1e-8
        assert stats.chi2_contingency(np.stack([fixed, varied])).pvalue > 1e-8


def _views(way: str, spec: GateSpec, prepared: Prepared) -> list[NDArray[Any]]:
    """How often each byte value comes: down, up, and the client's offline message (without its unused top bytes)."""
    _, down, up = drive(way, spec, prepared)
    delta = prepared.material[0]["delta"].view(np.uint8).reshape(-1, 8)[:, :7]
    views = (np.frombuffer(b"".join(down), np.uint8), np.frombuffer(b"".join(up), np.uint8), delta.reshape(-1))
    return [np.bincount(view, minlength=256) for view in views]
