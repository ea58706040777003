"""compare_runs.py and repetition.py: their figures, and that documents state those of the committed runs."""

import json
from pathlib import Path
from typing import Any

import compare_runs
import numpy as np
import pytest
import repetition
from click.testing import CliRunner
from measuring import ROOT
from measuring.documents import between_marks
from report.parts import PARTS

from pi_system.errors import InputError


def report(ms: float, nbytes: float) -> dict[str, Any]:
    row = {"network": "n", "link": "lan", "backend": "fss", "online_ms": {"median": ms}, "bytes_per_relu": nbytes}
    environment = {"git_sha": "abc", "date": "2026-01-02T03:04", "git_dirty": False, "load_before": [0.5]}
    networks = [{"network": "n", "relus": 1000}]
    return {"networks": networks, "repeat": 9, "results": [row], "environment": environment}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, ms, nbytes in (("before-1", 10, 8), ("after-1", 20, 6), ("before-2", 10, 8), ("after-2", 11, 6)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report(ms, nbytes)))
    return tmp_path


def test_a_ratio_is_that_of_its_round(folder: Path) -> None:
    done = CliRunner().invoke(compare_runs.main, [str(folder)])
    assert done.exit_code == 0, done.output
    line = done.output.splitlines()[-1]
    cells = "| n | 1,000 | lan | `fss` | 2 | 1.55 (1.10, 2.00) | contradicted"
    assert line == f"{cells} | 8.00 | 6.00 | 0.750 |"


def test_a_round_without_its_other_half_is_refused(folder: Path) -> None:
    (folder / "after-2.json").unlink()
    with pytest.raises(InputError, match="one of each a round"):
        compare_runs.commits(folder)


def test_averaging_gains_under_logits_and_not_under_scores() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-8, 8, (3, 1, 40)) + 0.001 * rng.normal(size=(3, 1024, 40))
    found = {row["repeats"]: row for row in repetition.precision(logits, 0.25)}
    assert list(found) == [1, 4, 16, 64, 256]
    for repeats, row in found.items():
        assert row["logits_error"] == pytest.approx(0.001 / repeats**0.5, rel=0.2)
        assert row["scores_error"] == pytest.approx(0.25 / 12**0.5, rel=0.1)  # uniform within a step
        assert row["scores_moved"] <= 0.06  # within about three deviations of where rounding turns: 2.4 %


def test_exact_answers_tell_all_at_once_and_keep_their_score() -> None:
    logits = np.repeat(np.random.default_rng(1).normal(size=(2, 1, 5)), 16, axis=1)
    for row in repetition.precision(logits, 0.5):
        assert row["logits_error"] < 1e-12
        assert row["scores_moved"] == 0


def test_noise_across_a_turn_is_seen() -> None:
    logits = 0.25 + 0.01 * np.random.default_rng(2).normal(size=(1, 64, 6))  # the step 0.5 turns at 0.25
    assert repetition.precision(logits, 0.5)[-1]["scores_moved"] == 1.0


@pytest.mark.parametrize("name", PARTS)
def test_documents_state_the_committed_runs(name: str) -> None:
    file, make = PARTS[name]
    document = (ROOT / "docs" / file).read_text()
    assert document == between_marks(document, name, make()), "run make report and commit"
    with pytest.raises(InputError, match=f"expected the lines <!-- {name}:begin --> and"):
        between_marks("no marks", name, "")
