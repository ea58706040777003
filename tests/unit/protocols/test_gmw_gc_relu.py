"""The two dealerless ReLUs against plain ReLU: results, declared costs, malformed messages, material."""

from typing import Any

import numpy as np
import pytest
from gates import exchange
from halves import run_alone
from numpy.typing import NDArray
from ot_gates import SEED, Prepared, prepare

from pi_system.errors import ConfigError, CorrelationMismatchError, LocalProtocolError, RemoteProtocolError
from pi_system.kernels import aes_backend, aes_backends, use_aes_backend
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material, Shapes, material_bytes, unpack_material
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.ot.ideal import insecure_parties
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.ring.prg import Prg
from pi_system.secure.layout import Bundle, Layout

BOTH = pytest.mark.parametrize("relu", [GMW, GC], ids=lambda relu: str(relu.name))
CASES = [
    (ring_bits, comparison_bits, shift)
    for ring_bits in (32, 40, 64)
    for comparison_bits in (8, 17, 24, 32)
    for shift in (0, 1, 7, 12)
    if shift < comparison_bits - 1
]


def gate(count: int = 100, ring_bits: int = 32, comparison_bits: int = 24, shift: int = 10) -> GateSpec:
    return GateSpec(count=count, ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift)


def inputs(spec: GateSpec) -> NDArray[np.int64]:
    """Extremes first, then anything of the allowed range."""
    limit = (1 << (spec.comparison_bits - 1)) - (1 << spec.shift if spec.shift else 0)
    extremes = [0, 1, -1, limit - 1, -limit + 1, (1 << spec.shift) - 1, 1 << spec.shift, -(1 << spec.shift)]
    drawn = Prg(SEED).ring(spec.count, spec.comparison_bits).astype(np.int64) - (1 << (spec.comparison_bits - 1))
    drawn[: len(extremes)] = extremes[: spec.count]
    return np.clip(drawn, -limit + 1, limit - 1)


def gates(relu: OtGate, spec: GateSpec, prepared: Prepared) -> tuple[ServerGate, ClientGate]:
    return relu.server_gate(spec, prepared.material[0]), relu.client_gate(spec, prepared.material[1])


def packed_material(material: Material, shapes: Shapes) -> bytes:
    """As it lies in a bundle."""
    bundle = Bundle(Layout.of([("gate/material", material_bytes(shapes))]))
    bundle.keep("gate", material, shapes)
    return bundle.section("gate/material").tobytes()


def check_output(spec: GateSpec, prepared: Prepared, result: NDArray[Any]) -> None:
    mask = result.dtype.type((1 << spec.ring_bits) - 1)
    assert not (result & ~mask).any()
    expected = np.maximum(prepared.y + spec.half, 0) >> spec.shift  # rounded to nearest, exactly
    assert np.array_equal(((result + prepared.fresh_mask) & mask).astype(np.int64), expected)


@BOTH
@pytest.mark.parametrize(("ring_bits", "comparison_bits", "shift"), CASES)
def test_the_output_is_relu(relu: OtGate, ring_bits: int, comparison_bits: int, shift: int) -> None:
    spec = gate(500, ring_bits, comparison_bits, shift)
    prepared = prepare(relu, spec, inputs(spec))
    server, client = gates(relu, spec, prepared)
    exchange(server, client, prepared.y_server, 512)
    check_output(spec, prepared, server.result())


@BOTH
@pytest.mark.parametrize(("count", "chunk"), [(1, 32), (31, 32), (5000, 1024), (4097, 4096)])
def test_counts_and_chunks(relu: OtGate, count: int, chunk: int) -> None:
    spec = gate(count)
    prepared = prepare(relu, spec, inputs(spec))
    server, client = gates(relu, spec, prepared)
    exchange(server, client, prepared.y_server, chunk)
    check_output(spec, prepared, server.result())


@BOTH
def test_over_silent_ots(relu: OtGate) -> None:
    spec = gate(9000)  # more than one chunk, so that the order of OTs and messages counts
    prepared = prepare(relu, spec, inputs(spec), silent=True)
    server, client = gates(relu, spec, prepared)
    exchange(server, client, prepared.y_server, 1024)
    check_output(spec, prepared, server.result())


@BOTH
@pytest.mark.parametrize("spec", [gate(4500), gate(77, 40, 17, 0), gate(64, 64, 32, 5)], ids=str)
def test_declared_costs_are_counted(relu: OtGate, spec: GateSpec) -> None:
    prepared = prepare(relu, spec, inputs(spec))
    server, client = gates(relu, spec, prepared)
    online, offline = relu.cost(spec), relu.offline_cost(spec)
    assert server.round_trips == client.round_trips == online.round_trips
    down, up = exchange(server, client, prepared.y_server, 1024)
    assert (sum(map(len, down)), sum(map(len, up))) == (online.server_to_client_bytes, online.client_to_server_bytes)
    assert prepared.counters is not None
    at_server, at_client = prepared.counters
    assert at_server.sent_bytes == offline.server_to_client_bytes
    assert at_client.sent_bytes == offline.client_to_server_bytes
    assert min(at_server.rounds, at_client.rounds) <= offline.round_trips  # pipelining is taken for rounds at one end


def test_declared_costs_meet_the_goals() -> None:
    spec = gate(32 * 1000)
    per_element = {relu.name: relu.cost(spec) for relu in (GMW, GC)}
    gmw, gc = per_element["gmw"], per_element["gc"]
    assert gmw.server_to_client_bytes + gmw.client_to_server_bytes <= 33 * spec.count
    assert GMW.offline_cost(spec).silent_bytes <= 18 * spec.count
    assert gc.server_to_client_bytes + gc.client_to_server_bytes == (16 * 24 + 4) * spec.count
    assert GC.offline_cost(spec).silent_bytes <= 850 * spec.count


@BOTH
def test_material_survives_packing_and_is_checked(relu: OtGate) -> None:
    spec = gate(40)
    prepared = prepare(relu, spec, inputs(spec))
    shapes = relu.server_shapes(spec), relu.client_shapes(spec)
    packed = [packed_material(part, shape) for part, shape in zip(prepared.material, shapes, strict=True)]
    again = [unpack_material(data, shape) for data, shape in zip(packed, shapes, strict=True)]
    server, client = relu.server_gate(spec, again[0]), relu.client_gate(spec, again[1])
    exchange(server, client, prepared.y_server, 32)
    check_output(spec, prepared, server.result())
    with pytest.raises(CorrelationMismatchError, match="bytes, found"):
        unpack_material(packed[0][:-1], shapes[0])
    with pytest.raises(CorrelationMismatchError, match="gate material: expected"):
        relu.client_gate(gate(80), again[1])
    with pytest.raises(CorrelationMismatchError, match="found nothing"):
        relu.server_gate(spec, {})


@BOTH
@pytest.mark.parametrize("party", ["server", "client"])
def test_an_offline_message_of_wrong_length_is_a_remote_error(relu: OtGate, party: str) -> None:
    spec, share = gate(64), np.zeros(64, np.uint32)
    server, client = insecure_parties(SEED)
    halves = {
        "server": relu.offline_server(spec, server, Prg(SEED)),
        "client": relu.offline_client(spec, share, share, client, Prg(SEED)),
    }
    with pytest.raises(RemoteProtocolError, match="found 5"):
        run_alone(halves[party], b"short")


@BOTH
def test_shares_of_another_size_are_refused(relu: OtGate) -> None:
    short = np.zeros(3, np.uint32)
    with pytest.raises(LocalProtocolError, match="expected shares of 64"):
        run_alone(relu.offline_client(gate(64), short, short, insecure_parties(SEED)[1], Prg(SEED)))


def test_gmw_refuses_a_comparison_too_wide() -> None:
    with pytest.raises(ConfigError, match="comparison bits"):
        GMW.cost(gate(64, 64, 40, 0))


@BOTH
def test_every_instruction_set_gives_the_same_bytes(relu: OtGate) -> None:
    spec, before = gate(96, 40), aes_backend()
    packed = set()
    try:
        for name in aes_backends():
            use_aes_backend(name)
            prepared = prepare(relu, spec, inputs(spec))
            server, client = gates(relu, spec, prepared)
            exchange(server, client, prepared.y_server, 96)
            shapes = relu.server_shapes(spec), relu.client_shapes(spec)
            parts = [packed_material(part, shape) for part, shape in zip(prepared.material, shapes, strict=True)]
            packed.add((*parts, server.result().tobytes()))
    finally:
        use_aes_backend(before)
    assert len(packed) == 1


@BOTH
def test_what_the_server_receives_is_uniform(relu: OtGate) -> None:
    """Equal inputs, no secret of the client's: its replies still look random."""
    spec = gate(4096)
    prepared = prepare(relu, spec, inputs(spec))
    server, client = gates(relu, spec, prepared)
    for messages in exchange(server, client, prepared.y_server):
        for data in messages:
            bits = np.unpackbits(np.frombuffer(data, np.uint8))
            assert abs(bits.mean() - 0.5) < 6 / np.sqrt(bits.size)
