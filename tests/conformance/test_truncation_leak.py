"""A client that repeats one picture and reads full logits learns nothing from their noise about the weights.

Of random signs, too, where few bits are compared: their coins must be in nothing that the client opens.

The attack: the noise of a logit is the sum of the last layer's weights times rounding errors. Where an error depends on
anything the client holds (its shares, its masks) or sees, least squares of the logits on that gives the weights: with
local truncation of shares 128 to 384 repetitions gave every weight of the last layer. Here the same regression must
stay at chance, for ReLUs that truncate, for positions that skip their ReLU and for truncations before it.

``PI_LEAK_RUNS=2000`` repeats the picture that often instead of a few hundred times.
"""

import os
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_artifact import changed, runnable
from gates import STOCHASTIC
from mlp_artifact import CLASSES, FEW_BITS, HIDDEN, SHIFT, mlp_artifact
from parties import BACKENDS, GATES, infer, prepared
from scipy import stats

from pi_system.artifact import Artifact
from pi_system.backends.fss import offline as fss_offline
from pi_system.backends.two_party import offline as two_party
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.kernels import packed_bytes, unpack_bits
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter, fixed_logits
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot.gate import RoundsGate
from pi_system.protocols.relu_dcf import gates as dcf_gates
from pi_system.protocols.relu_dcf.gates import DcfClient, kernel_of
from pi_system.protocols.relu_table import adder
from pi_system.ring.prg import Prg

RUNS = {"fss": 150, "gmw": 60, "gc": 60, "table": 80}
ALARM = 1e-6
UNSEEN = 16 - FEW_BITS
PICTURE = np.random.default_rng(3).uniform(-1, 1, (1, 1, 8, 8)).astype(np.float32)


class _View:
    """What the client holds at every truncation, element by element, run by run: its share and its summand of r'."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[dict[str, np.ndarray]] = []
        self._watch_gates(monkeypatch)
        self._watch_truncations(monkeypatch)
        self._watch_summands(monkeypatch)

    def _watch_gates(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mask_share = dcf_gates.mask_share

        def watched(spec: GateSpec, seed1: Any, salt: Any, share: Any) -> Any:
            self._note("gate", share, kernel_of(spec).masks(spec.count, seed1, salt))
            return mask_share(spec, seed1, salt, share)

        monkeypatch.setattr(dcf_gates, "mask_share", watched)
        for backend, gates in TWO_PARTY_GATES.items():
            watched_gates = {kind: self._watched_gate(gate) for kind, gate in gates.items()}
            monkeypatch.setitem(TWO_PARTY_GATES, backend, watched_gates)

    def _watched_gate(self, gate: Any) -> Any:
        name = "begin_client" if isinstance(gate, RoundsGate) else "offline_client"

        def watched(spec: GateSpec, share: Any, mask: Any, *rest: Any) -> Any:
            self._note("gate", share, mask)
            return getattr(gate, name)(spec, share, mask, *rest)

        return replace(gate, **{name: watched})

    def _watch_summands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of r' in ``table``: the client's random choices."""
        own_mask = adder.own_mask

        def watched(party: Any, chosen: Any) -> Any:
            mask, other = own_mask(party, chosen)
            if party.role == 1:
                self._note("summand", mask[:HIDDEN])
            return mask, other

        monkeypatch.setattr(adder, "own_mask", watched)

    def _watch_truncations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        dealt, pairs = fss_offline.truncation, two_party.pairs  # type: ignore[attr-defined]
        mask_share, offline_client = dealt.mask_share, pairs.offline_client

        def watched(spec: GateSpec, seed1: Any, share: Any) -> Any:
            self._note("truncation", share, dealt._summand(spec, seed1))
            return mask_share(spec, seed1, share)

        def watched_client(spec: GateSpec, share: Any, mask: Any, *rest: Any) -> Any:
            self._note("truncation", share, mask)
            return offline_client(spec, share, mask, *rest)

        monkeypatch.setattr(dealt, "mask_share", watched)
        monkeypatch.setattr(pairs, "offline_client", watched_client)

    def _note(self, kind: Any, *arrays: Any) -> None:
        if waiting := [run for run in self.runs if kind not in run]:
            run = waiting[0]  # of pictures that are prepared side by side the first
        elif arrays[0].shape[0] > HIDDEN or arrays[0].shape[0] < HIDDEN // 2:
            return  # the label's tournament
        else:
            run = {}
            self.runs.append(run)
        run[kind] = np.concatenate([np.asarray(array, np.uint64) for array in arrays])

    def residues(self, bits: int = SHIFT) -> Any:
        """(runs, features): the low bits of all of it, which a truncation's error could depend on."""
        rows = [np.concatenate([run[kind] for kind in sorted(run)]) for run in self.runs]
        return (np.stack(rows) & np.uint64((1 << bits) - 1)).astype(float) / (1 << bits) - 0.5


class _Opened:
    """What the client reads in the server's messages about the hidden layer: X and the bits compared, run by run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[tuple[Any, ...]] = []
        made, reply = DcfClient.__init__, DcfClient.reply

        def watched_made(gate: Any, spec: GateSpec, material: Any, **options: Any) -> None:
            gate.spec = spec
            made(gate, spec, material, **options)

        def watched(gate: Any, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
            if gate.spec.unseen_bits:
                self.runs.append(self._parts(gate.spec, np.frombuffer(message, np.uint8)))
            return reply(gate, exchange, first, count, message)

        monkeypatch.setattr(DcfClient, "__init__", watched_made)
        monkeypatch.setattr(DcfClient, "reply", watched)

    def _parts(self, spec: GateSpec, message: Any) -> tuple[Any, ...]:
        parts = []
        for bits in (spec.opened_bits, spec.compared_bits):
            size, values = packed_bytes(spec.count, bits), np.empty(spec.count, np.uint32)
            unpack_bits(message[:size], bits, values)
            message = message[size:]
            parts.append(values.astype(np.int64))
        return tuple(parts)

    def features(self) -> Any:
        """(runs, features): of X its low bits and their highest, of the bits compared the lowest two."""
        opened, compared = (np.stack(parts) for parts in zip(*self.runs, strict=True))
        low = opened & ((1 << UNSEEN) - 1)
        return np.hstack([low / (1 << UNSEEN), low >> (UNSEEN - 1), compared & 1, compared >> 1 & 1]).astype(float)


def _repeat(backend: str, artifact: Artifact, runs: Any, store: Path) -> Any:
    """Logits (runs, classes) of one picture, over and over, in ulps."""
    server, client = prepared(backend, artifact, store, runs)
    found = []
    for first in range(0, runs, 50):
        logits, _, _ = infer(server, client, np.repeat(PICTURE, min(50, runs - first), axis=0))
        found.append(logits)
    return np.concatenate(found) * 2.0 ** artifact.public.ring.frac_bits["fc"]


def _explained(features: Any, logits: Any) -> Any:
    """P-value of each logit's regression on the features: the chance of as good a fit by luck."""
    design = np.column_stack([np.ones(len(features)), features])
    p_values = []
    for column in logits.T:
        if column.std() == 0:
            p_values.append(1.0)  # nothing to explain
            continue
        fitted = design @ np.linalg.lstsq(design, column, rcond=None)[0]
        free, used = len(column) - design.shape[1], features.shape[1]
        ratio = ((fitted - column.mean()) ** 2).sum() / used / (((column - fitted) ** 2).sum() / free)
        p_values.append(stats.f.sf(ratio, used, free))
    return np.array(p_values)


@pytest.mark.parametrize(
    ("backend", "kind"),
    list(product(BACKENDS, ("relu", "skipped", "before"))),
)
def test_the_noise_of_logits_is_independent_of_all_that_the_client_holds(
    backend: str, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, artifact = _View(monkeypatch), runnable(backend, mlp_artifact(kind))
    runs = int(os.environ.get("PI_LEAK_RUNS", RUNS[backend]))
    logits = _repeat(backend, artifact, runs, tmp_path)
    features = view.residues()
    assert features.shape[0] == runs
    assert features.shape[1] >= 2 * HIDDEN
    expected, _ = fixed_logits(artifact, PICTURE)
    exact = (
        GATES[backend]["relu"].name not in STOCHASTIC and kind == "relu"
    )  # protocols that compare shares round exactly: no noise at all
    assert (logits.std(axis=0) == 0).all() == exact
    assert (np.abs(logits - expected).max() == 0) == exact
    assert (_explained(features, logits) > ALARM / CLASSES).all()
    weights = np.rint(artifact.weights["fc.weight"] * 64)
    sharpest = (logits.std(axis=0) / np.sqrt(runs)).max()  # what is left: unbiased coins that the client does not know
    assert (np.abs(logits.mean(axis=0) - expected) < 0.5 * np.abs(weights).sum(axis=1) + 6 * sharpest).all()


@pytest.mark.parametrize("backend", ["fss", "table"])
def test_the_coins_of_few_bits_are_independent_of_all_that_the_client_holds_and_opens(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, seen, artifact = _View(monkeypatch), _Opened(monkeypatch), mlp_artifact("few bits")
    runs = int(os.environ.get("PI_LEAK_RUNS", RUNS[backend]))
    logits = _repeat(backend, artifact, runs, tmp_path)
    assert len(seen.runs) == len(view.runs) == runs
    for bits in (SHIFT, SHIFT + UNSEEN):
        assert (_explained(view.residues(bits), logits) > ALARM / CLASSES).all()
    assert (_explained(seen.features(), logits) > ALARM / CLASSES).all()
    expected = _with_coins(artifact, 4 * runs)
    assert logits.std(axis=0).min() > 20  # ulps: signs are random, not only the last bit
    for found, drawn in zip(logits.T, expected.T, strict=True):
        assert stats.ks_2samp(found, drawn).pvalue > ALARM


def _with_coins(artifact: Artifact, runs: int) -> Any:
    """Logits (runs, classes) in ulps of the fixed-point interpreter, with random signs of its own."""
    graph, ring = artifact.public.graph, artifact.public.ring
    weights = quantise_weights(graph, ring, artifact.weights)
    interpreter = FixedInterpreter(ring, artifact.masks, weights, coins=Prg(bytes(16)))
    return interpreter.run(graph, encode_input(np.repeat(PICTURE, runs, axis=0), graph, ring))


def test_the_regression_would_see_signs_by_the_bits_that_are_opened() -> None:
    """With one mask for value and sign the client reads the sign's coin in X, whose low bits it opens."""
    rng, runs, half = np.random.default_rng(1), RUNS["fss"], 1 << (UNSEEN - 1)
    weights = np.rint(mlp_artifact("few bits").weights["fc.weight"] * 64)
    hidden, masks = rng.integers(100, 400, HIDDEN), rng.integers(0, 1 << 16, (runs, HIDDEN))
    opened = hidden + masks - half
    kept = (opened >> UNSEEN) - (masks >> UNSEEN) >= 0
    logits = (kept * hidden) @ weights.T
    features = (opened + half & ((1 << UNSEEN) - 1)) >= half
    assert (_explained(features.astype(float), logits.astype(float)) < ALARM / CLASSES).all()


def test_the_regression_would_see_local_truncation() -> None:
    """The same hidden values and as many runs, each share truncated by itself: every weight comes out."""
    rng, runs = np.random.default_rng(1), RUNS["fss"]
    weights = np.rint(mlp_artifact("relu").weights["fc.weight"] * 64)
    hidden = rng.integers(1 << 20, 1 << 24, HIDDEN)
    client = rng.integers(0, 1 << 32, (runs, HIDDEN))
    error = (((hidden - client) >> SHIFT) + (client >> SHIFT)) - hidden / (1 << SHIFT)
    features = (client & ((1 << SHIFT) - 1)) / (1 << SHIFT) - 0.5
    logits = error @ weights.T
    assert (_explained(features, logits) < ALARM / CLASSES).all()


def test_a_failed_truncation_tells_a_column_of_weights(tmp_path: Path) -> None:
    """The documented limit: why ``truncation_log2`` is bounded. In a ring far too narrow one run in 15 fails."""
    artifact, bits, runs = mlp_artifact("skipped"), 28, 400
    ring = artifact.public.ring.model_copy(update={"ring_bits": bits, "truncation_log2": -1.0})
    expected, _ = fixed_logits(artifact, PICTURE)
    moved = (_repeat("fss", changed(artifact, ring=ring), runs, tmp_path) - expected) / 2.0 ** (bits - SHIFT)
    columns = {tuple(row) for row in np.rint(np.rint(artifact.weights["fc.weight"] * 64).T).astype(int)}
    failed = [tuple(row) for row in np.rint(moved[np.abs(moved).max(axis=1) > 0.5]).astype(int)]
    assert failed
    assert any(row in columns or tuple(-v for v in row) in columns for row in failed)
