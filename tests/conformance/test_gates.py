"""Every protocol of a gate against the ideal one, over ring, comparison and shift; declared cost is counted cost.

A new protocol registers in tests/support/gates.py and writes no new tests here.
"""

import tempfile
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from gates import (
    PROTOCOLS,
    RELUS,
    SEED,
    SQUARES,
    STOCHASTIC,
    Prepared,
    drive,
    exchange,
    prepare,
    unseen_of,
)
from halves import run_alone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from insecure_cots import insecure_parties
from scipy import stats

from pi_system.errors import ConfigError, CorrelationMismatchError, LocalProtocolError, RemoteProtocolError
from pi_system.kernels import aes_backend, aes_backends, use_aes_backend
from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import material_bytes, unpack_material
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.square import DEALT_SQUARE, SQUARE
from pi_system.protocols.square.cost import delta_bytes
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg
from pi_system.secure.layout import BundleDraft, Layout
from pi_system.secure.turns import CHUNK

ALL = pytest.mark.parametrize("protocol", PROTOCOLS)
BY_OTS = pytest.mark.parametrize("protocol", [name for name, gate in PROTOCOLS.items() if isinstance(gate, OtGate)])


def _compared(protocol: str, ring_bits: int, comparison_bits: int, shift: int) -> bool:
    """Whether a gate of all bits is one that the protocol takes, or nearly: others are all alike to it."""
    return unseen_of(protocol, comparison_bits - shift) <= 2


RELU_WIDTHS = [
    *[(32, 24, 10), (32, 32, 0), (32, 12, 10), (40, 26, 8), (64, 17, 0), (64, 36, 20), (20, 20, 5), (16, 9, 0)],
    *[(32, 29, 14), (32, 18, 1), (32, 10, 8), (59, 39, 13), (48, 48, 25), (59, 53, 34), (59, 58, 5)],
    *[widths for widths in product((32, 40, 64), (8, 17, 24, 32), (0, 1, 7, 12)) if widths[2] < widths[1] - 1],
]
FEWER_BITS = [
    *[(32, 24, 10, 6), (32, 28, 14, 6), (32, 28, 14, 3), (32, 24, 0, 16), (32, 32, 0, 24), (20, 20, 5, 13)],
    *[(64, 36, 20, 8), (64, 17, 0, 9), (40, 26, 8, 1), (16, 9, 0, 7), (59, 30, 7, 14)],
]
SQUARE_WIDTHS = [(ring_bits, (ring_bits + 1) // 2, 0) for ring_bits in (8, 31, 32, 33, 48, 59, 63, 64)]
WIDTHS = [
    pytest.param(protocol, widths, id="-".join([*map(str, widths), protocol]))
    for protocol, widths in [
        *((name, widths) for name in RELUS for widths in dict.fromkeys(RELU_WIDTHS) if _compared(name, *widths)),
        *product(RELUS, FEWER_BITS),
        *product(SQUARES, SQUARE_WIDTHS),
    ]
]


def gate(
    protocol: Any,
    count: int = 100,
    ring_bits: int = 32,
    comparison_bits: int = 24,
    shift: int = 10,
    unseen_bits: int = 0,
) -> Any:
    """Of a square's own widths where none are given."""
    if protocol in SQUARES:
        comparison_bits, shift, unseen_bits = min(comparison_bits, (ring_bits + 1) // 2), 0, 0
    unseen_bits = unseen_of(protocol, comparison_bits - shift, unseen_bits)
    return GateSpec(
        kind="square" if protocol in SQUARES else "relu",
        count=count,
        ring_bits=ring_bits,
        comparison_bits=comparison_bits,
        shift=shift,
        unseen_bits=unseen_bits,
    )


def top(spec: GateSpec) -> Any:
    """The largest value a gate takes."""
    return spec.limit


def window(spec: GateSpec) -> int:
    """Where signs are random: below this magnitude."""
    return 1 << (spec.shift + spec.unseen_bits - 1) if spec.unseen_bits else 0


def values(spec: GateSpec) -> Any:
    """Signed values of the whole allowed range, extremes, neighbours of zero and halves of an ulp first."""
    most, half = top(spec), 1 << spec.shift >> 1
    sizes = [0, 1, most, most - 1, most // 2, half, 3 * half, 2 * half - 1, 2 * half]
    sizes += [window(spec), window(spec) - 1, window(spec) + 1, window(spec) // 2]
    edges = np.array([sign * edge for edge in sizes for sign in (1, -1) if abs(edge) <= most])
    drawn = Prg(SEED).child(spec.comparison_bits).ring(spec.count, 64).astype(np.int64) % (2 * most + 1) - most
    return np.concatenate([edges, drawn])[: spec.count]


def right(protocol: Any, spec: GateSpec, y: Any, found: Any) -> Any:
    """Per element: is it one that the protocol may give?"""
    if protocol in SQUARES:
        return found == y * y
    if protocol in STOCHASTIC:
        floor, rest, unsure = y >> spec.shift, y & ((1 << spec.shift) - 1), window(spec)
        kept = (y >= -unsure) & ((found == floor) | ((rest > 0) & (found == floor + 1)))
        return kept | ((y < max(unsure, 1)) & (found == 0))
    return found == np.maximum((y + (1 << spec.shift >> 1)) >> spec.shift, 0)


def check_output(protocol: Any, prepared: Any, result: Any) -> Any:
    """Ring elements that open to what the protocol may give."""
    ring = Ring(prepared.spec.ring_bits)
    assert (ring.reduce(result) == result).all()
    opened = ring.to_signed(result + prepared.fresh_mask)
    assert right(protocol, prepared.spec, prepared.y, opened).all()
    return opened


def check(protocol: Any, spec: GateSpec, y: Any = None, **how: Any) -> Any:
    """The output is right, and both phases cost what is declared; returns what was opened, and the client's share."""
    relu: Any = PROTOCOLS[protocol]
    prepared = prepare(relu, spec, values(spec) if y is None else y, **how)
    result, server, client = drive(prepared)
    opened, online = check_output(protocol, prepared, result), relu.cost(spec)
    assert server.sent_bytes == client.received_bytes == online.server_to_client_bytes
    assert client.sent_bytes == server.received_bytes == online.client_to_server_bytes
    assert online.round_trips == relu.round_trips
    assert server.rounds == online.round_trips or spec.count > CHUNK  # chunks are under way together
    if prepared.counters and not how.get("silent"):
        offline, (server, client) = relu.offline_cost(spec), prepared.counters
        assert prepared.chain <= 2 * offline.round_trips + offline.rounds  # less where the OTs themselves send nothing
        assert server.sent_bytes == client.received_bytes == offline.server_to_client_bytes
        assert client.sent_bytes == server.received_bytes == offline.client_to_server_bytes
        assert prepared.cots == (offline.server_cots, offline.client_cots)
    return opened, prepared.y_client


@pytest.mark.parametrize(("protocol", "widths"), WIDTHS)
def test_output_is_right_and_cost_is_as_declared(protocol: str, widths: tuple[int, ...]) -> None:
    check(protocol, gate(protocol, 700, *widths))


@ALL
@pytest.mark.parametrize("count", [1, 31, 32, 33, 4500, CHUNK - 1, CHUNK + 1, 2 * CHUNK + 40])
def test_any_number_of_elements(protocol: str, count: int) -> None:
    check(protocol, gate(protocol, count, 32, 20, 8))


@ALL
@pytest.mark.parametrize(("count", "chunk"), [(1, 32), (31, 32), (33, 32), (2049, 1024), (5000, 1024), (4097, 4096)])
def test_counts_and_chunks(protocol: str, count: int, chunk: int) -> None:
    spec = gate(protocol, count)
    prepared = prepare(PROTOCOLS[protocol], spec, values(spec))
    gates = prepared.gates()
    assert gates.server.round_trips == gates.client.round_trips
    exchange(*gates, prepared.y_server, chunk)
    check_output(protocol, prepared, gates.server.result())


def test_directions_of_a_tables_transfers_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pi_system.protocols.relu_table.products._CHUNKS_A_TURN", 1)
    test_counts_and_chunks("table", 3 * 4096 + 5, 4096)


@ALL
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_width(protocol: str, data: st.DataObject) -> None:
    square, ring_bits = protocol in SQUARES, data.draw(st.integers(8, 64), "ring bits")
    most = (ring_bits + 1) // 2 if square else min(ring_bits, PROTOCOLS[protocol].reach.bits, 48)
    bits = data.draw(st.integers(2, most), "comparison bits")
    spec = gate(protocol, 1, ring_bits, bits, 0 if square else data.draw(st.integers(0, bits - 2), "shift"))
    drawn = data.draw(st.lists(st.integers(-top(spec), top(spec)), min_size=1, max_size=40), "values")
    check(protocol, gate(protocol, len(drawn), ring_bits, bits, spec.shift), np.array(drawn))


@BY_OTS
def test_over_silent_ots(protocol: str) -> None:
    """More than one chunk, so that the order of OTs and messages counts."""
    check(protocol, gate(protocol, 9000), silent=True)


@pytest.mark.parametrize("protocol", RELUS)
@pytest.mark.parametrize("shift", [3, 12])
def test_the_rounding_error_is_independent_of_the_clients_share(protocol: str, shift: int) -> None:
    """The client knows y_1, so an error that followed its low bits would tell weights: over many gates on one value the
    error's mean must not move with them. The local truncation of shares, by the same measure, moves it by far."""
    count, value = 40_000, (1 << 15) + 5 * (1 << shift) // 16
    found, client_share = check(protocol, gate(protocol, count, 32, 20, shift), np.full(count, value))
    error = found - value / 2**shift
    residue = (client_share & np.uint32((1 << shift) - 1)) / 2**shift
    assert abs(_correlation(residue, error)) < 5 / np.sqrt(count)
    if protocol in STOCHASTIC:
        assert abs(error.mean()) < 5 * error.std() / np.sqrt(count)
        assert error.std() > 0.4  # a coin of probability 5/16, not a constant
    ring = Ring(32)
    shares = ring.from_signed(np.full(count, value)) - client_share, client_share
    local = ring.to_signed(sum(x >> np.uint32(shift) for x in shares) + np.uint32(0)) - value / 2**shift
    assert abs(_correlation(residue, local % 2 ** (32 - shift))) > 0.3


def _correlation(x: Any, y: Any) -> Any:
    return 0.0 if y.std() == 0 else float(np.corrcoef(x, y)[0, 1])


def _bytes(messages: Any) -> Any:
    return np.frombuffer(b"".join(messages), np.uint8)


@pytest.mark.parametrize("protocol", [name for name, gate in RELUS.items() if isinstance(gate, OtGate)])
def test_what_the_server_receives_looks_random(protocol: str) -> None:
    spec = gate(protocol, 4096)
    prepared = prepare(PROTOCOLS[protocol], spec, values(spec))
    for messages in exchange(*prepared.gates(), prepared.y_server):
        bits = np.unpackbits(_bytes(messages))
        assert abs(bits.mean() - 0.5) < 6 / np.sqrt(bits.size)


@pytest.mark.parametrize("protocol", SQUARES)
def test_what_each_party_of_a_square_receives_is_uniform(protocol: str) -> None:
    """The same secrets many times: bytes look uniform and do not tell zeros from large values."""
    spec = gate(protocol, 20_000, 64, 32)
    zeros, large = (_views(prepare(SQUARES[protocol], spec, np.full(spec.count, y))) for y in (0, top(spec)))
    for fixed, varied in zip(zeros, large, strict=True):
        assert stats.chisquare(fixed).pvalue > 1e-8
        assert stats.chisquare(varied).pvalue > 1e-8
        assert stats.chi2_contingency(np.stack([fixed, varied])).pvalue > 1e-8


def _views(prepared: Prepared) -> Any:
    """How often each byte value comes: down, up, and the client's offline message (without its unused top bytes)."""
    delta = prepared.material[0]["delta"].view(np.uint8).reshape(-1, 8)[:, :7].reshape(-1)
    server, client = prepared.gates()
    down, up = exchange(server, client, prepared.y_server)
    seen = (_bytes(down), _bytes(up), delta)
    return [np.bincount(view, minlength=256) for view in seen]


def test_declared_costs_meet_the_goals() -> None:
    spec = gate("gmw", 32 * 1000)
    gmw, gc = GMW.cost(spec), GC.cost(spec)
    assert gmw.server_to_client_bytes + gmw.client_to_server_bytes <= 33 * spec.count
    assert GMW.offline_cost(spec).silent_bytes <= 18 * spec.count
    assert gc.server_to_client_bytes + gc.client_to_server_bytes == (16 * 24 + 4) * spec.count
    assert GC.offline_cost(spec).silent_bytes <= 850 * spec.count


@pytest.mark.parametrize("ring_bits", [32, 59, 64])
def test_a_square_costs_two_ring_elements_less_a_bit(ring_bits: int) -> None:
    spec, down, up = gate("dealt", 2500, ring_bits), (2500 * (ring_bits - 1) + 7) // 8, (2500 * ring_bits + 7) // 8
    for square in SQUARES.values():
        cost = square.cost(spec)
        assert (cost.round_trips, cost.server_to_client_bytes, cost.client_to_server_bytes) == (1, down, up)
    assert DEALT_SQUARE.dealt_bytes(spec) == ((), (down,))
    offline = SQUARE.offline_cost(spec)
    assert offline.round_trips == 1
    cots = run_alone(insecure_parties(SEED)[0].sender.extend(offline.server_cots))
    assert len(cots) == 2528 * (ring_bits - 1)


def packed(gate: Any, prepared: Any) -> Iterator[Any]:
    """Both parties' material as it lies in a bundle, and its shapes."""
    for material, shapes in zip(prepared.material, (gate.server_shapes, gate.client_shapes), strict=True):
        shape = shapes(prepared.spec)
        layout = Layout.of([("gate/material", material_bytes(shape))])
        with tempfile.TemporaryFile() as file:
            draft = BundleDraft(layout, file.fileno(), 0)
            draft.keep("gate", material, shape)
            yield draft.section("gate/material").tobytes(), shape


@BY_OTS
def test_material_survives_packing_and_is_checked(protocol: str) -> None:
    relu, spec = PROTOCOLS[protocol], gate(protocol, 40)
    prepared = prepare(relu, spec, values(spec))
    (data, shape), other = packed(relu, prepared)
    prepared.material = mine, theirs = unpack_material(data, shape), unpack_material(*other)
    gates = prepared.gates()
    exchange(*gates, prepared.y_server, 32)
    check_output(protocol, prepared, gates.server.result())
    with pytest.raises(CorrelationMismatchError, match="bytes, found"):
        unpack_material(data[:-1], shape)
    larger = gate(protocol, 41 if protocol in SQUARES else 80)
    with pytest.raises(CorrelationMismatchError, match="gate material: expected"):
        relu.client_gate(larger, theirs)
    with pytest.raises(CorrelationMismatchError, match="gate material: expected"):
        relu.server_gate(larger, mine)
    with pytest.raises(CorrelationMismatchError, match="found nothing"):
        relu.server_gate(spec, {})
    with pytest.raises(CorrelationMismatchError):
        relu.client_gate(spec, {name: part.astype(np.uint16) for name, part in theirs.items()})


@BY_OTS
def test_every_instruction_set_gives_the_same_bytes(protocol: str) -> None:
    relu, spec, before, found = PROTOCOLS[protocol], gate(protocol, 96, 40), aes_backend(), set()
    try:
        for name in aes_backends():
            use_aes_backend(name)
            prepared = prepare(relu, spec, values(spec), seed=SEED)
            gates = prepared.gates()
            exchange(*gates, prepared.y_server, 96)
            found.add((*(data for data, _ in packed(relu, prepared)), gates.server.result().tobytes()))
    finally:
        use_aes_backend(before)
    assert len(found) == 1


@BY_OTS
@pytest.mark.parametrize("count", [3, 63])
def test_shares_of_another_size_are_refused(protocol: str, count: int) -> None:
    relu: Any = PROTOCOLS[protocol]
    share, client = np.zeros(count, np.uint32), insecure_parties(SEED)[1]
    with pytest.raises(LocalProtocolError, match="expected shares of 64"):
        run_alone(relu.offline_client(gate(protocol, 64), share, share, client, Prg(SEED)))


@pytest.mark.parametrize("change", [-1, 1])
def test_dealt_messages_of_wrong_length_are_remote_errors(change: int) -> None:
    spec, share = gate("dealt", 64, 59), np.zeros(64, np.uint64)
    wrong = memoryview(bytes(delta_bytes(spec) + change))
    with pytest.raises(RemoteProtocolError, match="elements: expected"):
        DEALT_SQUARE.client_offline(spec, SEED, SEED, share, share, [wrong])
    with pytest.raises(RemoteProtocolError, match="elements: expected"):
        DEALT_SQUARE.server_offline(spec, SEED, SEED, [], wrong)


def test_gmw_refuses_a_comparison_too_wide() -> None:
    GMW.cost(gate("gmw", 64, 64, GMW.reach.bits, 0))
    with pytest.raises(ConfigError, match="comparison bits"):
        GMW.cost(gate("gmw", 64, 64, GMW.reach.bits + 1, 0))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        *product(
            ["relu"], [{"count": 0}, {"comparison_bits": 33}, {"shift": 24}, {"shift": 23}, {"comparison_bits": 1}]
        ),
        *product(["square"], [{"comparison_bits": 17}, {"shift": 1}, {"count": 0}]),
    ],
)
def test_specs_out_of_range_are_refused(kind: Any, fields: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "kind": kind,
        "count": 1,
        "ring_bits": 32,
        "comparison_bits": 24 if kind == "relu" else 16,
        "shift": 0,
    }
    GateSpec(**good)
    with pytest.raises(ConfigError, match="expected"):
        GateSpec(**(good | fields))


@pytest.mark.parametrize("protocol", SQUARES)
def test_what_a_square_shows_of_the_servers_share_is_uniform(protocol: str) -> None:
    """All shares zero: what is seen is the mask alone."""
    spec = GateSpec(kind="square", count=2048, ring_bits=33, comparison_bits=12, shift=0)
    seen = []
    for _ in range(2):
        server = prepare(SQUARES[protocol], spec, np.zeros(spec.count, np.int64)).gates().server
        server.load(0, np.zeros(spec.count, np.uint64))
        seen.append(np.frombuffer(server.send(0, 0, spec.count), np.uint8))
        assert stats.chisquare(np.bincount(seen[-1], minlength=256)).pvalue > 1e-8
    assert (seen[0] != seen[1]).mean() > 0.9


@pytest.mark.parametrize(
    ("bits", "online", "dealt", "stored"), [(14, 6, 244, (136, 112)), (9, 7.125, 84, (56, 32)), (8, 7, 36, (40, 0))]
)
def test_what_a_relu_of_28_bits_costs_by_the_bits_compared(
    bits: int, online: float, dealt: int, stored: tuple[int, int]
) -> None:
    """A 32-bit ring, 14 bits dropped: bytes a ReLU that docs/explanation/decisions.md states."""
    protocol, spec = RELUS["dcf"], gate("dcf", 1 << 16, 32, 28, 14, 14 - bits)
    assert isinstance(protocol, DealtGate)
    cost, shapes = protocol.cost(spec), (protocol.server_shapes(spec), protocol.client_shapes(spec))
    assert (cost.server_to_client_bytes + cost.client_to_server_bytes) / spec.count == online
    assert sum(map(sum, protocol.dealt_bytes(spec))) / spec.count == dealt
    assert tuple(material_bytes(part) / spec.count for part in shapes) == stored


@pytest.mark.parametrize(
    ("unseen", "online", "offline", "stored"),
    [(6, 7, 78.6, (44, 36)), (5, 7.125, 110.8, (60, 52)), (4, 7.25, 175.4, (92, 84))],
)
def test_what_a_table_of_two_parties_costs(unseen: int, online: float, offline: float, stored: tuple[int, int]) -> None:
    """A 32-bit ring, k = 28, t = 14: bytes a ReLU that docs/explanation/decisions.md and the changelog state."""
    spec = gate("table", 1 << 16, 32, 28, 14, unseen)
    cost, shapes = TABLE.cost(spec), (TABLE.server_shapes(spec), TABLE.client_shapes(spec))
    assert (cost.server_to_client_bytes + cost.client_to_server_bytes) / spec.count == online
    assert TABLE.offline_cost(spec).silent_bytes / spec.count == pytest.approx(offline, abs=0.05)
    assert tuple(material_bytes(part) / spec.count for part in shapes) == stored


def test_a_table_refuses_more_bits_than_ten() -> None:
    spec = GateSpec(count=64, ring_bits=32, comparison_bits=28, shift=14, unseen_bits=3)
    for asked in (TABLE.cost, TABLE.offline_cost, TABLE.server_shapes, TABLE.client_shapes):
        with pytest.raises(ConfigError, match=r"expected at most 10 compared bits, found 11; .*--compare-bits 10"):
            asked(spec)
