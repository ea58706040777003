"""benchmarks/repetition.py: its statistics on noise that is known, and the threat model's sentences from its JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
import repetition
from measuring.documents import between_marks

from pi_system.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def test_averaging_gains_under_logits_and_not_under_scores():
    rng = np.random.default_rng(0)
    logits = rng.uniform(-8, 8, (3, 1, 40)) + 0.001 * rng.normal(size=(3, 1024, 40))
    found = {row["repeats"]: row for row in repetition.precision(logits, 0.25)}
    assert list(found) == [1, 4, 16, 64, 256]
    for repeats, row in found.items():
        assert row["logits_error"] == pytest.approx(0.001 / repeats**0.5, rel=0.2)
        assert row["scores_error"] == pytest.approx(0.25 / 12**0.5, rel=0.1)  # uniform within a step
        assert row["scores_moved"] <= 0.06  # within about three deviations of where rounding turns: 2.4 %


def test_exact_answers_tell_all_at_once_and_keep_their_score():
    logits = np.repeat(np.random.default_rng(1).normal(size=(2, 1, 5)), 16, axis=1)
    for row in repetition.precision(logits, 0.5):
        assert row["logits_error"] < 1e-12
        assert row["scores_moved"] == 0


def test_noise_across_a_turn_is_seen():
    logits = 0.25 + 0.01 * np.random.default_rng(2).normal(size=(1, 64, 6))  # the step 0.5 turns at 0.25
    assert repetition.precision(logits, 0.5)[-1]["scores_moved"] == 1.0


def test_the_threat_model_states_the_measured():
    (path,) = (ROOT / "benchmarks" / "results" / "repetition").glob("*.json")
    report = json.loads(path.read_text())
    document = (ROOT / "docs" / "threat-model.md").read_text()
    stated = between_marks(document, repetition.BEGIN, repetition.END, repetition.statement(report))
    assert stated == document, "run benchmarks/repetition.py --keep and commit"


def test_a_document_without_marks_is_refused():
    with pytest.raises(InputError, match="expected"):
        between_marks("nothing", repetition.BEGIN, repetition.END, "text")
