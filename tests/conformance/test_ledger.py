"""Nothing that is to be used once is used twice: whole preparations and inferences, everything drawn written down."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from changed_artifact import with_compare_bits
from ledger import Ledger, instrument
from parties import BACKENDS, infer, make_parties, prepare
from torch import nn

from pi_system.backends.fss import dealer as offline_dealer
from pi_system.backends.fss import offline as fss_offline
from pi_system.backends.fss.dealer import deal
from pi_system.export import QuantiseOptions
from pi_system.export.random import random_artifact, random_pictures
from pi_system.protocols.linear_he import server as server_module
from pi_system.protocols.ot.base import Cots
from pi_system.protocols.truncation import dealt, pairs
from pi_system.ring.prg import Prg
from pi_system.secure.schedule import Gate, Remask, Truncation, plan
from pi_system.secure.seeds import PartySeed
from pi_system.train.relu import MaskedReLU
from pi_system.train.square import Square

SEEN = {
    "fss": {"keystream", "summand of a mask", "root of a key", "salt"},
    "gmw": {"hash tweak"},
    "gc": {"garbling tweak", "label"},
    "table": {"hash tweak"},
}
"""What an instrumented run must have written down, or the instruments are broken."""
OF_OTS = {
    "keystream",
    "ciphertext",
    "correlated OT",
    "block of a correlated OT",
    "tree tweak",
    "leaf stream",
    "row of the LPN code",
    "root of a tree",
    "OT of a tree",
}


def make_artifact(truncate_before_relu: Any) -> Any:
    """Pixel masks, a max-pool, a square, a value that is masked again, truncations that no gate follows."""
    masked = MaskedReLU((4, 8, 8), stage=1, block=0)
    masked.set_mask(torch.from_numpy(np.random.default_rng(3).random((4, 8, 8)) < 0.5))
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, 1, 1),
        masked,
        nn.Conv2d(4, 4, 3, 1, 1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, 1, 1),
        Square(halvings=2),
        nn.Conv2d(4, 6, 3, 1, 1),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 6, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6, 10),
    )
    options = QuantiseOptions(ring_bits=59, truncate_before_relu=truncate_before_relu)
    return random_artifact(network, (1, 8, 8), 5, "ledger", options)


@pytest.fixture(scope="module")
def artifact() -> Any:
    """Truncations in ReLUs, after a square, before one, and of the positions that skip their ReLU."""
    return make_artifact(False)


@pytest.fixture(scope="module")
def early_artifact() -> Any:
    """Truncations before every ReLU, positions that skip it are masked again."""
    return make_artifact(True)


@pytest.fixture(scope="module")
def few_bits_artifact(artifact: Any) -> Any:
    """The first with signs from nine bits of a tree, and from a table of eight."""
    pool = next(node.name for node in artifact.public.graph if node.op == "maxpool2d")
    relus = {relu.name: 9 if number else 8 for number, relu in enumerate(artifact.public.graph.relus())}
    return with_compare_bits(artifact, {pool: 6, **relus})


def test_the_networks_have_every_kind_of_step(artifact: Any, early_artifact: Any) -> None:
    late, early = (plan(a.public.graph, a.public.ring, a.masks, "label").steps for a in (artifact, early_artifact))
    assert sum(isinstance(step, Truncation) for step in late) > 3
    assert any(isinstance(step, Truncation) and step.name.endswith("/passive") for step in late)
    assert any(isinstance(step, Remask) for step in early)
    before = [
        after.spec.shift
        for step, after in pairwise(early)
        if isinstance(step, Truncation) and isinstance(after, Gate) and after.spec.kind == "relu"
    ]
    assert before == [0, 0, 0]
    gates = [step for step in (*late, *early) if isinstance(step, Gate)]
    assert {"relu", "exact", "square"} == {gate.spec.kind for gate in gates}
    assert any(gate.spec.shift for gate in gates)
    assert any(gate.name.startswith("label/") for gate in gates)


def run(ledger: Any, backend: Any, artifact: Any, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two preparations, of four pictures together and one, and of one; a batch of two pictures, then one."""
    instrument(monkeypatch, ledger)
    monkeypatch.setattr(server_module, "threads", lambda: 1)  # the ledger knows parties by thread

    def by_dealer(*arguments: Any) -> None:
        with ledger.acting("dealer", f"offline {len(phases)}"):
            deal(*arguments)

    server, client = make_parties(backend, artifact, store, reveal="label")
    phases = []

    def acting(phase: str) -> tuple[Any, Any]:
        return _Acting(ledger, "server", phase, server), _Acting(ledger, "client", phase, client)

    for count in (5, 1):
        phases.append(count)
        ours, theirs = acting(f"offline {len(phases)}")
        prepare(ours, theirs, count, by_dealer)
    pictures = random_pictures(artifact.public.graph.input.shape, 3, 1)
    for number, batch in enumerate((pictures[:2], pictures[2:])):
        infer(*acting(f"online {number}"), batch)


class _Acting:
    """A runtime whose every call is that party's, in that phase."""

    def __init__(self, ledger: Any, party: Any, phase: Any, runtime: Any) -> None:
        self._ledger, self._actor, self._runtime = ledger, (party, phase), runtime

    def __getattr__(self, name: Any) -> Any:
        method = getattr(self._runtime, name)

        def call(*arguments: Any) -> Any:
            with self._ledger.acting(*self._actor):
                return method(*arguments)

        return call


def check(backend: Any, artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    run(ledger, backend, artifact, tmp_path, monkeypatch)
    ledger.check()
    expected = SEEN[backend] | (set() if backend == "fss" else OF_OTS)
    assert expected <= set(ledger.counts), expected - set(ledger.counts)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_used_twice(backend: str, artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(backend, artifact, tmp_path, monkeypatch)


def test_nothing_is_used_twice_by_few_bits(
    few_bits_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    run(ledger, "fss", few_bits_artifact, tmp_path, monkeypatch)
    ledger.check()
    assert {"offset of a sign", "table of a comparison", "root of a key"} <= set(ledger.counts)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_used_twice_by_truncations_before_relus(
    backend: str, early_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(backend, early_artifact, tmp_path, monkeypatch)


def _same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    def mask(self: Any, name: Any, count: Any, ring_bits: Any) -> Any:
        return Prg(self.seed).child("mask").ring((count,), ring_bits)

    monkeypatch.setattr(PartySeed, "fresh_mask", mask)


def _same_cots(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Any, count: Any) -> Any:
        return self.blocks[:count], self._tweak

    monkeypatch.setattr(Cots, "take", take)


def _same_gate_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PartySeed, "gate_seed", lambda self, name: Prg(self.seed).child_seed("gate"))


def _same_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (offline_dealer, fss_offline):
        monkeypatch.setattr(module, "gate_salt", lambda salt, name: salt)
    monkeypatch.setattr("pi_system.backends.fss.gates.gate_salt", lambda salt, name: salt)


def _same_summands(monkeypatch: pytest.MonkeyPatch) -> None:
    def summand(spec: Any, seed: Any) -> Any:
        return Prg(bytes(16)).child("truncation").ring(spec.count, spec.ring_bits)

    monkeypatch.setattr(dealt, "_summand", summand)


def _same_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    offline = pairs.offline_server

    def for_all_layers(spec: Any, ots: Any, prg: Any) -> Any:
        return offline(spec, ots, Prg(bytes(16)))

    monkeypatch.setattr(pairs, "offline_server", for_all_layers)


@pytest.mark.parametrize(
    ("backend", "plant", "what"),
    [
        ("fss", _same_salt, "salt"),
        ("fss", _same_summands, "keystream"),
        ("gmw", _same_coins, "keystream"),
        ("fss", _same_masks, "keystream"),
        ("fss", _same_gate_seed, "truncation"),
        ("gmw", _same_masks, "keystream"),
        ("gmw", _same_cots, "correlated OT"),
        ("table", _same_cots, "correlated OT"),
    ],
)
def test_a_planted_reuse_is_found(
    backend: str, plant: Callable[..., Any], what: str, artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    plant(monkeypatch)
    run(ledger, backend, artifact, tmp_path, monkeypatch)
    with pytest.raises(AssertionError, match=what):
        ledger.check()


def test_overlaps_are_found_and_derivations_for_one_purpose_are_not() -> None:
    ledger = Ledger()
    with ledger.acting("server", "offline"):
        ledger.use("stream", b"k", 0, 10)
        ledger.use("stream", b"k", 10, 5)
        with ledger.purpose("mask", "a"):
            ledger.use("stream", b"k", 15, 5)
    with ledger.acting("client", "offline"), ledger.purpose("mask", "a"):
        ledger.use("stream", b"k", 15, 5)
    ledger.check()
    with ledger.acting("server", "online"), ledger.purpose("mask", "b"):
        ledger.use("stream", b"k", 19, 1)
    with pytest.raises(AssertionError, match="stream"):
        ledger.check()


def test_a_range_inside_another_is_found() -> None:
    ledger = Ledger()
    with ledger.acting("server", "offline"):
        ledger.use("stream", b"k", 0, 100)
        ledger.use("stream", b"k", 20, 1)
    with pytest.raises(AssertionError, match="stream"):
        ledger.check()


def test_a_draw_by_nobody_is_an_error() -> None:
    with pytest.raises(AssertionError, match="nobody"):
        Ledger().use("stream", b"k", 0, 1)
