"""What candidates show: values that leave their range disqualify, and an export that is not exact enough is refused."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InexactError, UnsupportedLayerError
from pi_system.export import exporter
from pi_system.export.exporter import export_network, lower
from pi_system.export.faithful import check_graph_is_module
from pi_system.export.judge import Judge, Quantised
from pi_system.export.quantise import QuantiseOptions, _Search, quantise
from pi_system.export.random import random_pictures, randomise
from pi_system.export.ranges import calibrate
from pi_system.export.scales import ScaleOptions, ScalePlan
from pi_system.program.fixed_point import fixed_logits

SHAPE = (1, 6, 6)
PREPROCESS = Preprocess(channels=1, height=6, width=6, mean=(0.5,), std=(0.25,), classes=("a", "b", "c"))
PICTURES = random_pictures(SHAPE, 16, 3)
CANDIDATE = ScaleOptions(ring_bits=32, frac_bits=12, weight_bits=10)


def small() -> nn.Module:
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    return randomise(nn.Sequential(*layers), SHAPE, 1)


def judge(loudness: float = 1.0) -> Judge:
    """On pictures so many times as loud as those that were calibrated on."""
    draft = lower(small(), SHAPE)
    graph, weights = draft.graph(), draft.float_weights()
    ranges = calibrate(graph, draft.masks, weights, PICTURES)
    return Judge(graph, draft.masks, weights, PICTURES * np.float32(loudness), ranges)


def measured(loudness: float) -> Quantised:
    one = judge(loudness)
    plan = one.plan(CANDIDATE)
    assert plan is not None
    return one.measured(plan, 16)


def test_values_that_leave_their_range_disqualify_a_candidate() -> None:
    assert measured(1.0).left == ""
    assert measured(1.0).within(0.01)
    loud = measured(100.0)
    assert "expected values below" in loud.left
    assert not loud.within(np.inf)


def test_a_search_takes_what_stays_in_range_before_what_is_closer() -> None:
    one = judge()
    found = {bits: one.plan(replace(CANDIDATE, frac_bits=bits)) for bits in (8, 12)}
    graded = {bits: one.measured(plan, 16) for bits, plan in found.items() if plan is not None}
    assert graded[12].max_error < graded[8].max_error

    class Overflowing(Judge):
        def measured(self, plan: ScalePlan, count: int) -> Quantised:
            (bits,) = (bits for bits, each in found.items() if each is plan)
            return replace(graded[bits], left="node relu" if bits == 12 else "")

        def plan(self, candidate: ScaleOptions) -> ScalePlan | None:
            return found[candidate.frac_bits]

    search = _Search(Overflowing(**vars(one)), 16, QuantiseOptions(), 0.0)
    chosen = search.choose([replace(CANDIDATE, frac_bits=bits) for bits in (8, 12)])
    assert chosen is not None
    assert chosen.plan is found[8]


def test_pictures_that_are_kinder_than_others_do_not_have_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures judge the candidates here, zeros, and sixteen the chosen one."""
    monkeypatch.setattr("pi_system.export.quantise._JUDGED_MACS", 1)
    draft = lower(small(), SHAPE)
    graph, weights = draft.graph(), draft.float_weights()
    kind = PICTURES.copy()
    kind[:2] = 0
    options = QuantiseOptions(max_error=2e-3)
    ranges = calibrate(graph, draft.masks, weights, kind)
    search = _Search(Judge(graph, draft.masks, weights, kind, ranges), 2, options, 1e-3)
    chosen = search.best()
    assert search.accurate(chosen)
    assert not search.judge.measured(chosen.plan, 16).within(2e-3)
    found = quantise(graph, draft.masks, weights, kind, options, ranges)
    assert found.within(2e-3)
    strictest = replace(search, aim=0.0, judged=8, seen={}).best()
    assert found.plan.ring.ring_bits < strictest.plan.ring.ring_bits


def test_an_export_that_is_not_exact_enough_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(InexactError, match=r"found .* % of 16 labels kept; .*max_error.*allow_inexact"):
        export_network(small(), PREPROCESS, PICTURES, "small", QuantiseOptions(max_error=0.0))


def test_it_is_written_where_that_is_allowed_and_states_its_error(caplog: pytest.LogCaptureFixture) -> None:
    options = QuantiseOptions(max_error=0.0, allow_inexact=True)
    artifact = export_network(small(), PREPROCESS, PICTURES, "small", options)
    assert "expected fixed-point logits within 0 % of their spread" in caplog.text
    assert artifact.public.accuracy is not None
    assert artifact.public.accuracy.error > 0


def test_an_overflow_is_named_however_small_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    left = "node conv: expected values below 8 in magnitude"

    def overflowing(*given: object) -> Quantised:
        return replace(quantise(*given), left=left)  # type: ignore[arg-type]

    monkeypatch.setattr(exporter, "quantise", overflowing)
    with pytest.raises(InexactError, match=left):
        export_network(small(), PREPROCESS, PICTURES, "small")


def test_labels_that_change_are_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(exporter, "quantise", lambda *given: replace(quantise(*given), agreement=0.9))
    with caplog.at_level(logging.WARNING):
        export_network(small(), PREPROCESS, PICTURES, "small")
    assert "expected 99 % of labels or more, found 90 % of 16 labels kept" in caplog.text
    assert "of their spread" not in caplog.text


class Priced(nn.Module):
    """Logits of two classes, and a price so many times as large, of one layer."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.body = small()
        with torch.no_grad():
            self.body[-1].weight[2] *= factor  # type: ignore[index]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.body(x)
        return x[:, :2], x[:, 2:]


@pytest.mark.parametrize("factor", [1.0, 100.0, 10_000.0])
def test_errors_and_labels_are_those_of_the_output_where_they_are_worst(factor: float) -> None:
    network = Priced(factor).eval()
    artifact = export_network(network, PREPROCESS, PICTURES, "priced", QuantiseOptions(allow_inexact=True))
    with torch.no_grad():
        exact = torch.cat(network(torch.from_numpy(PICTURES)), 1).double().numpy()
    found = fixed_logits(artifact, PICTURES)[1]
    spreads = (np.sqrt(exact[:, :2].var(axis=1).mean()), exact[:, 2].std())
    errors = (
        np.abs(found[:, :2] - exact[:, :2]).max() / spreads[0],
        np.abs(found[:, 2] - exact[:, 2]).max() / spreads[1],
    )
    accuracy = artifact.public.accuracy
    assert accuracy is not None
    assert accuracy.error == pytest.approx(max(errors), rel=0.01, abs=1e-4)
    assert accuracy.agreement == (found[:, :2].argmax(axis=1) == exact[:, :2].argmax(axis=1)).mean()
    assert (accuracy.error <= 0.02) == (factor < 1000)


def test_a_small_output_that_is_another_is_refused_beside_a_large_one() -> None:
    class Drawing(Priced):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits, price = super().forward(x)
            return logits + torch.rand(2), price

    network = Drawing(1e5).eval()
    draft = lower(network, SHAPE)
    with pytest.raises(UnsupportedLayerError, match="draw at random"):
        check_graph_is_module(network, draft, PICTURES, "drawing")
