"""benchmarks/longer_runs.py: what is kept of a run, and SNL's trajectory beside the published one."""

import json
from pathlib import Path
from typing import Any

import longer_runs
from click.testing import CliRunner
from measuring import BENCHMARKS

from pi_system.cli.train import main as pi_train


def _run(tmp_path: Path, *words: str) -> None:
    done = CliRunner().invoke(pi_train, [*words, "--quiet"])
    assert done.exit_code == 0, done.output


def test_runs_are_kept_without_paths_and_shown_with_the_trajectory(tmp_path: Path, monkeypatch: Any) -> None:
    whole, reduced = tmp_path / "whole", tmp_path / "reduced"
    _run(tmp_path, "train", "--network", "resnet18:m=2", "--out", str(whole), "--preset", "small", "--epochs", "1")
    options = ("--method", "snl", "--budget", "200", "--epochs", "1", "--set", "search_epochs=2")
    _run(tmp_path, "reduce", str(whole), *options, "--out", str(reduced))
    file = tmp_path / "longer.json"
    monkeypatch.setattr(longer_runs, "FILE", file)
    for _ in range(2):  # the second replaces the first
        kept = CliRunner().invoke(longer_runs.main, [str(whole), str(reduced), "--commit", "abc", "--keep"])
        assert kept.exit_code == 0, kept.output
    text = file.read_text()
    assert str(tmp_path) not in text
    runs = json.loads(text)["runs"]
    assert [(run["name"], run["commit"]) for run in runs] == [("whole", "abc"), ("reduced", "abc")]
    assert [line["relus"] > 0 for line in runs[1]["history"] if line["phase"] == "search"] == [True, True]

    published = json.loads((BENCHMARKS / "study" / "methods.json").read_text())["trajectory"]["points"]
    assert published[0] == [0, 491_520]
    runs[1]["history"][0]["epoch"] = 25
    runs[1]["history"][0]["relus"] = runs[1]["relu_positions"] // 2
    file.write_text(json.dumps({"runs": runs}))
    shown = longer_runs.table(file)
    assert "| `whole` | digits |" in shown
    assert "| 25 | 50.0 % | 62.0 % |" in shown
