"""docs/reference/methods.md has the table that benchmarks/report/methods.py makes, with a row for every method."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from measuring import BENCHMARKS
from measuring.documents import between_marks
from measuring.study_plan import load_plan
from measuring.study_runs import BASELINE
from report.methods import METHODS_PLAN, PLANS, PUBLISHED, REACHED, table

from pi_system.reduce.presets import preset_of
from pi_system.reduce.registry import METHODS, describe

DOCS = BENCHMARKS.parent / "docs"


def _rows(text: Any) -> Any:
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_the_table_is_current() -> None:
    document = (DOCS / "reference" / "methods.md").read_text()
    assert document == between_marks(document, "methods", table()), "run make report and commit"


def test_every_method_has_its_row() -> None:
    rows = _rows(table())
    assert list(rows) == list(METHODS)
    for name in METHODS:
        card = describe(name)
        assert rows[name][:2] == [card.reduces, card.source]
        assert len(rows[name]) == 5


def test_every_method_is_in_the_readmes_table() -> None:
    _, _, rest = (BENCHMARKS.parent / "README.md").read_text().partition("\n| method |")
    first = [line.split("|")[1] for line in rest.split("\n\n")[0].splitlines()[2:]]
    assert sorted(re.findall(r"`(\w+)`", " ".join(first))) == sorted(METHODS)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_of_a_paper_says_what_differs(name: str) -> None:
    card = describe(name)
    assert card.source.startswith("none") or card.differs
    assert "|" not in card.differs


def test_published_points_have_sources_and_figures_come_from_the_runs(tmp_path: Path) -> None:
    published = json.loads(PUBLISHED.read_text())["published"]
    assert all(entry["source"] and isinstance(entry["verified"], bool) for entry in published)
    for plan, report in PLANS.items():
        found = json.loads(report.read_text())
        assert found["plan"] == load_plan(plan).digest
        assert not found["not_counted"]
    study = json.loads(REACHED.read_text())
    rows = _rows(table())
    assert "49.4K 73.75 %" in rows["snl"][2]

    changed = tmp_path / "changed.json"
    for run in study["runs"]:
        run["test_accuracy"] = 0.125
    changed.write_text(json.dumps(study))
    assert "17.4K 12.5 %" in _rows(table(plans={METHODS_PLAN: changed}))["gradual"][3]
    study["runs"] = [run for run in study["runs"] if run["label"] in (BASELINE, "whole")]
    changed.write_text(json.dumps(study))
    assert _rows(table(plans={METHODS_PLAN: changed}))["gradual"][3] == "not measured"
    second, more = METHODS_PLAN.with_name("methods-float32.toml"), tmp_path / "more.json"
    run = {"label": "snl", "budget": 17408, "relus": 17400, "test_accuracy": 0.25, "epochs": 12, "macs": 8878336}
    more.write_text(json.dumps({"runs": [*study["runs"], run]}))
    text = table(plans={METHODS_PLAN: changed, second: more})
    assert _rows(text)["snl"][3] == "`search_epochs=10 lasso_start=1e-3`: 17.4K 25.0 % (12 epochs) (float32)"
    assert _rows(text)["whole"][3] == "69.6K 12.5 % (float32)"
    run |= {"label": "gradual", "test_accuracy": 0.5}  # a later plan's row is the one shown
    changed.write_text(json.dumps({"runs": [run]}))
    assert "50.0 %" in _rows(table(plans={second: more, METHODS_PLAN: changed}))["gradual"][3]
    assert "(12.5 % with all its ReLUs)" in text


def test_the_plan_runs_every_method() -> None:
    assert {curve.method for curve in load_plan(METHODS_PLAN).curves} == set(METHODS)


def test_presets_have_the_learning_rates_that_trials_chose() -> None:
    """A picture's share of the rate: the trials take larger batches."""
    plan, trials = load_plan(METHODS_PLAN), json.loads(REACHED.read_text())["trials"]
    tuned = [curve for curve in plan.curves if curve.trials]
    assert {curve.method for curve in tuned} == {"gradual", "l1", "delphi"}
    for curve in tuned:
        found = [trial for trial in trials if trial["label"] == curve.label]
        assert len(found) == len(curve.trials)
        best = max(found, key=lambda trial: trial["tuning_accuracy"])["recipe"]
        preset = preset_of(METHODS[curve.method], "fast").recipe
        assert preset["learning_rate"] / preset["batch_size"] == best["learning_rate"] / best["batch_size"]
        assert [preset[name] for name in ("decay", "crop")] == [best[name] for name in ("decay", "crop")]
