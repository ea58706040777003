"""What must hold for any prices: rows add up, links cost what they are, chunks overlap; choices follow them."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from changed_artifact import runnable
from measuring.fit import ROUGH, fit_calibration
from measuring.layer_prices import LayerSample
from measuring.samples import CostSample
from random_networks import random_small_artifact
from scaled_artifact import relu_artifact

from pi_system import cost
from pi_system.backends.costs import all_units, find_cost, overlapping
from pi_system.backends.fss.gates import FSS_GATES
from pi_system.backends.registry import BACKENDS
from pi_system.channel.link import Link
from pi_system.cost import default_calibration, predict
from pi_system.cost.predict import Workload
from pi_system.cost.replay import Replay
from pi_system.cost.work import PRICED, Prices, work
from pi_system.errors import ConfigError, InvariantError
from pi_system.protocols.gate import GateSpec

ARTIFACT = relu_artifact(weight_scale=1.0)
"""512 ReLUs in two layers, k = 24, l = 32."""
PRICES = default_calibration()
WAKES_MS = PRICES.prices["woken"] / 1e6
"""Of whoever waited for a message that its link delayed."""


@pytest.mark.parametrize("backend", list(BACKENDS))
@pytest.mark.parametrize("link", ["loopback", "lan", "10,100"])
def test_rows_add_up_to_the_total_and_none_is_negative(backend: str, link: str) -> None:
    found = predict(runnable(backend, random_small_artifact(3)), backend, link, PRICES)
    parts = [(row.compute_ms, row.transfer_ms, row.round_trip_ms) for row in found.layers]
    assert sum(map(sum, parts)) == pytest.approx(found.online_ms)
    assert min(map(min, parts)) > -1e-9
    assert sum(row.round_trip_ms for row in found.layers) == 0 or link != "loopback"


@pytest.mark.parametrize(("backend", "rounds"), [("fss", 3), ("gmw", 5), ("gc", 3), ("table", 3)])
def test_delay_counts_once_a_round(backend: str, rounds: int) -> None:
    artifact = runnable(backend, ARTIFACT)
    near, far = (predict(artifact, backend, Link(float("inf"), rtt_s), PRICES) for rtt_s in (0.0, 1.0))
    assert far.online_rounds == rounds
    assert far.online_ms - near.online_ms == pytest.approx(rounds * (1000 + 2 * WAKES_MS))


def test_exchanges_of_crypten_cost_half_a_round_trip() -> None:
    near, far = (predict(ARTIFACT, "crypten", Link(float("inf"), rtt_s), PRICES) for rtt_s in (0.0, 1.0))
    assert far.online_ms - near.online_ms == pytest.approx((500 + WAKES_MS) * (far.online_rounds + 1))


@pytest.mark.parametrize("backend", ["fss", "gmw", "gc"])
def test_transfers_of_chunks_overlap_with_each_other(backend: str) -> None:
    spec = GateSpec(count=1 << 18, ring_bits=32, comparison_bits=24, shift=10)
    gates, link = find_cost(backend).gates(backend), Link(1e6, 0.0)
    assert gates
    cost = gates["relu"].cost(spec)
    replay = Replay(gates, link, Prices.of({}))
    replay.gate(spec)
    down_s, up_s = (8 * n / 1e6 for n in (cost.server_to_client_bytes, cost.client_to_server_bytes))
    busiest, both = max(down_s, up_s), down_s + up_s
    assert busiest <= replay.server.ns / 1e9 < 1.04 * both  # packet headers are 3.6 %
    if backend == "fss":
        assert replay.server.ns / 1e9 < 1.1 * busiest


def test_key_evaluation_of_both_parties_overlaps_but_for_a_chunk() -> None:
    spec = GateSpec(count=16 << 14, ring_bits=32, comparison_bits=24, shift=10)
    replay = Replay(FSS_GATES, Link(float("inf"), 0.0), Prices.of({"fss_level": 1.0}))
    replay.gate(spec)
    assert replay.server.ns == pytest.approx(14 * spec.count * 17 / 16)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of gmw, gc, table, fss"):
        Workload(ARTIFACT, "tin can")
    part = PRICES.model_copy(update={"backends": ("gmw",)})
    with pytest.raises(ConfigError, match="found no prices of gc"):
        predict(ARTIFACT, "gc", "lan", part)
    with pytest.raises(InvariantError, match="found magic"):
        work(magic=1)


MACHINE = {
    "mac32": 0.0083,
    "mac64": 0.011,
    "moved": 1.1,
    "swept": 0.32,
    "layer": 77000.0,
    "masked": 3.6,
    "start": 490000.0,
    "gate": 140000.0,
    "hop": 150000.0,
    "byte": 0.0,
    "fss_call": 11000.0,
    "fss_level": 2.1,
    "fss_element": 0.0,
    "gmw_call": 130000.0,
    "gmw_element": 72.0,
    "gc_call": 56000.0,
    "gc_wire": 45.0,
    "square_call": 31000.0,
    "square_element": 18.0,
    "crypten_start": 1900000.0,
    "crypten_round": 1000000.0,
    "crypten_word": 7.1,
    "crypten_relu": 570.0,
    "crypten_mac": 1.7,
    "dealt_start": 40000000.0,
    "dealt_level": 0.0,
    "dealt_mac": 0.12,
    "dealt_weight": 7.0,
    "dealt_byte": 0.18,
    "ot_start": 100000000.0,
    "ot_product": 0.0,
    "ot_ciphertext": 290.0,
    "ot_cot": 31.0,
    "ot_byte": 0.57,
    "gmw_prepared": 0.0,
    "gc_prepared": 0.0,
    "stored_byte": 4.5,
    "crypten_offline_start": 47000000.0,
    "crypten_offline_byte": 1.7,
    "crypten_offline_mac": 0.36,
    "pair_prepared": 300.0,
    "table_prepared": 300.0,
    "table_entry": 1.0,
}
"""Prices of a plausible machine, in ns: what a fit can find must not hang on what ships."""


def _sample(network: Any, public: Any, backend: str, link: Any, truth: Any) -> Any:
    found = predict(public, backend, link, truth)
    return CostSample(
        network=network,
        backend=backend,
        link=link,
        online_ms=(found.online_ms,),
        online_rounds=found.online_rounds,
        client_to_server_bytes=found.client_to_server_bytes,
        server_to_client_bytes=found.server_to_client_bytes,
        offline_ms=(found.offline_ms,),
        offline_bytes=found.offline_bytes,
        setup_bytes=found.setup_bytes,
        stored_bytes_server=found.stored_bytes_server,
        stored_bytes_client=found.stored_bytes_client,
    )


def _layers(truth: Any) -> list[LayerSample]:
    found = []
    for bits, macs, moved in product((32, 64), (1e5, 3e6, 4e7), (1e4, 3e5)):
        units = {f"mac{bits}": macs, "moved": moved, "layer": 1.0}
        ns = round(sum(truth.prices[name] * amount for name, amount in units.items()))
        found.append(LayerSample(weight=(1, 1, 1, 1), input=(1, 1, 1), word_bits=bits, units=units, ns=(ns,)))
    return found


def test_fitting_to_a_machine_of_other_prices_finds_its_times() -> None:
    truth = PRICES.model_copy(update={"prices": {name: 1.7 * ns for name, ns in MACHINE.items()}})
    networks = {str(seed): random_small_artifact(seed) for seed in (1, 2, 3, 4, 8)}
    samples = [
        _sample(name, public, backend, link, truth)
        for name, public in networks.items()
        for backend in ("fss", "gmw", "gc", "crypten")
        for link in ("loopback", "lan", "wan")
    ]
    fitted = fit_calibration(samples, _layers(truth), networks, "test", {})
    assert max(abs(row.online) for row in fitted.residuals) < 0.02
    assert max(abs(row.offline) for row in fitted.residuals) < 0.05
    unseen = random_small_artifact(9)
    for backend in fitted.backends:
        expected, found = (predict(unseen, backend, "lan", prices) for prices in (truth, fitted))
        assert found.online_ms == pytest.approx(expected.online_ms, rel=0.1)


def test_a_table_needs_few_compared_bits() -> None:
    with pytest.raises(ConfigError, match=r"expected at most 10 compared bits, found 18; .*--compare-bits 10"):
        predict(ARTIFACT, "table", "lan", PRICES)


def test_the_cost_model_names_no_backend() -> None:
    """A new one says what it costs in its own folder."""
    for path in Path(cost.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert not [name for name in BACKENDS if f'"{name}"' in text], path
        assert set(re.findall(r"pi_system\.backends\.(\w+)", text)) <= {"costs", "registry"}, path


@pytest.mark.parametrize("backend", overlapping())
def test_work_that_a_gate_counts_is_its_backends_and_can_be_priced(backend: str) -> None:
    for kind, gate in overlapping()[backend].items():
        bits, shift, unseen = (17, 0, 0) if kind == "square" else (24, 10, 6)
        spec = GateSpec(kind=kind, count=64, ring_bits=59, comparison_bits=bits, shift=shift, unseen_bits=unseen)
        counted = {name for units in (*gate.work(spec, 64).values(), gate.prepared(spec)) for name in units}
        assert counted <= set(find_cost(backend).UNITS), kind
    assert set(PRICED) == set(ROUGH)


def test_a_backend_that_says_nothing_of_its_costs_is_not_predicted_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(all_units())
    monkeypatch.setitem(BACKENDS, "silent", "pi_system.rpc.backend")
    assert set(all_units()) == before
    with pytest.raises(ConfigError, match="of backend silent, found none"):
        Workload(ARTIFACT, "silent").online(Link(1e6, 0.0), PRICES.as_prices())
