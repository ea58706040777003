"""docs/reference/methods.md has the table that benchmarks/report/methods.py makes, with a row for every method."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from measuring import BENCHMARKS
from measuring.documents import between_marks
from report.methods import table

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


def test_published_points_have_sources_and_figures_come_from_the_study(tmp_path: Path) -> None:
    data = json.loads((BENCHMARKS / "study" / "methods.json").read_text())
    assert all(entry["source"] and isinstance(entry["verified"], bool) for entry in data["published"])
    study = json.loads((BENCHMARKS / data["study"]).read_text())
    assert {curve["label"] for curve in data["curves"]} <= {run["label"] for run in study["runs"]}
    rows = _rows(table())
    assert "49.4K 73.75 %" in rows["snl"][2]
    assert rows["snl"][3] == "not measured"  # what the study called snl ran another algorithm

    for run in study["runs"]:
        run["test_accuracy"] = 0.125
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "methods.json").write_text(json.dumps(data | {"study": "changed.json"}))
    (tmp_path / "changed.json").write_text(json.dumps(study))
    assert "12.5 %, " in _rows(table(Path(tmp_path)))["random"][3]
