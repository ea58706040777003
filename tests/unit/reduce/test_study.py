"""The study runner, on the digits with one epoch a run."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pi_system.errors import ConfigError, InputError
from pi_system.reduce import Entry, StudyConfig, run_study
from pi_system.train import DataConfig, Interrupted, TrainConfig

_ROOT = Path(__file__).resolve().parents[3]
_RECIPE = TrainConfig(epochs=1, batch_size=256, device="cpu")


def _study(**changes: Any) -> Any:
    settings = {
        "data": DataConfig(name="digits"),
        "networks": ("resnet18:m=2", "hrn-2x5x3x:m=1"),
        "seeds": (0, 1),
        "fractions": (0.25, 0.06),
        "baseline": _RECIPE,
        "reduction": _RECIPE,
        "entries": (
            Entry(label="random", method="random"),
            Entry(label="narrower", method="narrower"),
            Entry(label="hrn-random", method="random", network=1),
        ),
    }
    return StudyConfig(**{**settings, **changes})


def test_every_run_is_in_the_json_and_a_stopped_study_goes_on(tmp_path: Path) -> None:
    lines = []

    def stop(line: Any) -> None:
        lines.append(line)
        if len(lines) == 6:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        run_study(_study(), tmp_path, report=stop)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("seed*/*/result.json")}
    found = run_study(_study(), tmp_path)
    assert len(done) >= 5
    assert all(path.stat().st_mtime_ns == changed for path, changed in done.items())
    assert found == json.loads((tmp_path / "study.json").read_text())
    runs = found["runs"]
    assert len(runs) == 2 * 2 + 2 * 2 * 3
    for run in runs:
        if run["label"] == "narrower":  # m = 1 has 544 ReLUs
            assert "expected at least 544 ReLUs" in run["error"]
        elif run["fraction"] is not None:
            assert run["relus"] == run["budget"] == int(1088 * run["fraction"])
            assert 0 <= run["test_accuracy"] <= 1
    assert {run["seed"] for run in runs} == {0, 1}
    assert found["config"]["data"]["split_seed"] == 0
    assert found["config"]["reduction"]["epochs"] == 1
    with pytest.raises(ConfigError, match="holds a study with another seeds"):
        run_study(_study(seeds=(0,)), tmp_path)


def test_studies_are_read_from_json_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    recipe = {"epochs": 1, "batch_size": 256, "device": "cpu"}
    content = {
        "data": "digits",
        "networks": ["resnet18:m=2"],
        "seeds": [0],
        "fractions": [0.25],
        "baseline": recipe,
        "reduction": recipe,
        "entries": [{"label": "a", "method": "gradual", "options": {"granularity": "channel"}}],
    }
    file.write_text(json.dumps(content))
    assert StudyConfig.load(file).entries[0].options == {"granularity": "channel"}
    for change in ({"seeds": 1}, {"colour": "red"}, {"entries": [{"label": "a", "method": "magic"}]}):
        file.write_text(json.dumps(content | change))
        with pytest.raises(ConfigError, match="expected"):
            StudyConfig.load(file)
    file.write_text("{")
    with pytest.raises(InputError, match="expected a study in JSON"):
        StudyConfig.load(file)
    with pytest.raises(ConfigError, match="expected a network below 2"):
        _study(entries=(Entry(label="a", method="snl", network=2),))


@pytest.mark.slow
def test_benchmark_runs_with_workers_is_killed_and_goes_on(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path), "--network", "resnet18:m=2", "--hybrid", "hrn-2x5x3x:m=1", "--seeds", "1"]
    options += [word for label in ("random-channel", "hrn-fast") for word in ("--only", label)]
    options += ["--baseline-epochs", "1", "--epochs", "1", "--batch-size", "256", "--precision", "float32"]
    command = [sys.executable, str(_ROOT / "benchmarks" / "study_relu_budgets.py"), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(
        [*command, "--workers", "1"], stderr=subprocess.PIPE, env=environment, start_new_session=True
    )
    while first.poll() is None and not list(tmp_path.glob("seed0/*@*/result.json")):
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("seed0/*/result.json")}
    assert len(done) >= 3
    again = subprocess.run(
        [*command, "--workers", "2"], capture_output=True, text=True, env=environment, timeout=240, check=True
    )
    assert all(path.stat().st_mtime_ns == changed for path, changed in done.items())
    found = json.loads(again.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "study.json").read_text())
    reductions = [run for run in found["runs"] if run["fraction"] is not None]
    assert len(reductions) == 3 * 2
    assert all(0 < run["relus"] <= run["budget"] for run in reductions)


@pytest.mark.slow
def test_workers_end_when_the_study_is_killed(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path), "--network", "resnet18:m=2", "--hybrid", "hrn-2x5x3x:m=1", "--workers", "2"]
    options += ["--baseline-epochs", "10000", "--batch-size", "256", "--precision", "float32"]
    command = [sys.executable, str(_ROOT / "benchmarks" / "study_relu_budgets.py"), *options]
    study = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while study.poll() is None and len(list(tmp_path.glob("seed*/*/metrics.jsonl"))) < 2:
            time.sleep(0.1)
        children = [process.pid for process in psutil.Process(study.pid).children(recursive=True)]
        assert len(children) >= 2
        study.kill()
        study.wait()
        until = time.monotonic() + 60
        while any(map(_runs, children)) and time.monotonic() < until:
            time.sleep(0.1)
        assert not any(map(_runs, children))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)
    assert len(list(tmp_path.glob("seed*/*/checkpoint.safetensors"))) >= 2


def _runs(process: Any) -> bool:
    """Whether it is there and more than a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ray_is_asked_for_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="expected Ray; install it"):
        run_study(_study(), tmp_path, ray=True)


def test_two_studies_share_the_runs_of_one_folder(tmp_path: Path) -> None:
    few = {"seeds": (0,), "fractions": (0.25,), "entries": (Entry(label="random", method="random"),)}
    run_study(_study(**few), tmp_path)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("seed0/*/result.json")}
    more = few | {"networks": ("resnet18:m=2", "hrn-2x5x3x:m=1", "resnet18:m=1")}
    found = run_study(_study(**more), tmp_path, name="claims")
    assert len(done) == 3
    assert len(found["runs"]) == 4
    assert all(path.stat().st_mtime_ns == changed for path, changed in done.items())
    assert len(json.loads((tmp_path / "study.json").read_text())["runs"]) == 3
