"""A question as the lines of `make bench` run it, in this process: real parties, one small network, one backend."""

from pathlib import Path

import pytest
import q06_quadratic as q06
from click.testing import CliRunner
from measuring import side_by_side
from measuring.question import QuestionReport
from measuring.side_by_side import Series


def test_a_question_from_run_to_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "default_cache", lambda: tmp_path)
    networks = {"n relu": "resnet18:m=2,classes=10,size=8", "n square": "resnet18:m=1,classes=10,size=8"}
    series = Series(networks=networks, links=("1000,2",), repeat=3, backends=("fss",))
    monkeypatch.setitem(q06.SERIES, "quick", (series,))
    out = tmp_path / "q06.json"
    done = CliRunner().invoke(q06.main, ["run", "--busy", "--repeat", "2", "--json-out", str(out)])
    assert done.exit_code == 0, done.output

    report = QuestionReport.read(out)
    assert [(s["label"], s["backend"]) for s in report.samples] == [(label, "fss") for label in networks]
    assert all(len(s["online_ms"]) == 2 and s["max_abs_error"] < 0.2 for s in report.samples)
    assert all(min(s["online_ms"]) > 2 * s["rounds"] for s in report.samples)
    assert {a.name for a in report.answers} >= {"fss/1000,2/relu_over_square_online"}
    assert report.command == "python benchmarks/q06_quadratic.py run --repeat 2"

    assert q06.QUESTION.draw(report, tmp_path) == [tmp_path / "q06-square.svg"]
    assert (tmp_path / "q06-square.svg").stat().st_size > 10_000
