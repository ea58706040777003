"""A plan's order, what counts of it, and going on after a kill and a pause, on the digits with tiny networks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from measured import ENVIRONMENT
from measuring import BENCHMARKS, RESULTS, study_costs, study_runner
from measuring.environment import Environment
from measuring.machine import MachineBusyError, Measurement, alone, held
from measuring.networks import cached_artifact
from measuring.study_plan import PLAN, load_plan
from measuring.study_queue import Run, queue, relus
from measuring.study_record import (
    Record,
    Stamp,
    committed,
    open_record,
    plan_at,
    read_record,
    read_records,
    record_file,
)
from measuring.study_report import collect
from measuring.study_runner import data_path, progress, run_plan
from measuring.study_runs import read_study
from measuring.study_work import perform
from small_plan import LATER, M1, TEXT, git, plan_of, write

from pi_system.errors import ConfigError, InputError
from pi_system.train import DataConfig, TrainConfig
from pi_system.train.job import train_run


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The file of a committed plan."""
    path = tmp_path / "checkout" / "plan.toml"
    path.parent.mkdir()
    git(path.parent, "init", "-q")
    write(path, TEXT)
    return path


def keys(runs: Any) -> list[str]:
    return [run.key for run in runs]


def test_a_seed_is_done_before_the_next_and_a_block_before_the_next() -> None:
    wide, narrow = "resnet18-m2-classes10-size8-channels1", "resnet18-m1-classes10-size8-channels1"
    seeds = [
        [
            f"seed{seed}/{wide}",
            f"seed{seed}/{narrow}",
            f"seed{seed}/random@600",
            f"seed{seed}/random@200",
            f"seed{seed}/whole-short-{narrow}",  # the narrow network has 544 ReLUs
            f"seed{seed}/narrow@200",
            *(["seed0/sensitivity"] if seed == 0 else []),
        ]
        for seed in (0, 1)
    ]
    tuning = [f"trial/{wide}", "trial/tuned-0", "trial/tuned-1", "seed0/tuned@200", "seed0/gpu@200"]
    assert keys(queue(plan_of())) == [*seeds[0], *seeds[1], *tuning]
    assert relus(M1) == 544
    runs = {run.key: run for run in queue(plan_of())}
    assert runs["trial/tuned-0"].judged_on == "tuning" != runs["seed0/tuned@200"].judged_on
    assert runs["trial/tuned-0"].source == f"trial/{wide}"
    assert [runs[f"trial/tuned-{n}"].recipe["learning_rate"] for n in (0, 1)] == [0.05, 0.1]
    assert runs["trial/tuned-1"].options == {"schedule": "once", "granularity": "channel"}


def test_the_plan_of_this_checkout_can_run() -> None:
    plan = load_plan(PLAN)
    runs = queue(plan)
    blocks = [run.block for run in runs]
    assert blocks == sorted(blocks)
    first = [run.seed for run in runs if run.block == "A"]
    assert first == sorted(first)
    assert {curve.label for curve in plan.curves if curve.block == "B"} >= {
        "snl",
        "senet",
        "deepreduce",
        "shallow",
        "l1",
    }
    assert all(curve.trials for curve in plan.curves if curve.block == "B")
    assert plan.data_config("x").recorded()["tuning_fraction"] == 0.1


def test_the_plan_of_the_first_study_has_its_runs() -> None:
    done = [json.loads((RESULTS / "study" / f"{name}.json").read_text())["runs"] for name in ("study", "claims")]
    runs = queue(load_plan(PLAN.with_name("budgets.toml")))
    assert len(runs) == len({run["run"] for found in done for run in found})
    recorded = {(r["seed"], r.get("source") or r["network"], r.get("budget")) for found in done for r in found}
    assert {(run.seed, run.network, run.budget) for run in runs} == recorded


def test_costs_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = queue(plan_of())[:3]
    for run in runs:
        made(tmp_path, run, Stamp("a", "b"))
    names, asked = study_costs.networks_of(tmp_path, 0), list[tuple[str, ...]]()
    assert names == sorted(run.key for run in runs)
    artifact = cached_artifact(M1, tmp_path / "cache")
    monkeypatch.setattr(study_costs, "export_run", lambda run, path: shutil.copytree(artifact, path))

    def measured(paths: list[Path], backends: list[str], *_: Any) -> Iterator[Any]:
        asked.append((paths[0].name, *backends))
        yield from (_Result(backend) for backend in backends)

    monkeypatch.setattr(study_costs, "run_all", measured)
    file, measured_on = tmp_path / "costs.json", _Measured()
    how: dict[str, Any] = {"links": ("lan",), "seed": 0, "repeat": 5}
    study_costs.measure_costs(measured_on, tmp_path, file, names[:2], backends=("fss",), **how)
    found = study_costs.measure_costs(measured_on, tmp_path, file, names, backends=("fss", "gmw"), **how)
    assert found == json.loads(file.read_text())
    assert len(found["results"]) == 6
    assert [len(backends) for _, *backends in asked] == [1, 1, 1, 1, 2]
    with pytest.raises(ConfigError, match="holds costs of another repeat"):
        study_costs.measure_costs(measured_on, tmp_path, file, names, backends=("fss",), **how | {"repeat": 6})
    with pytest.raises(InputError, match="expected a finished run of seed 1"):
        study_costs.networks_of(tmp_path, 1)


class _Result(SimpleNamespace):
    def __init__(self, backend: str) -> None:
        super().__init__(backend=backend, online_ms=SimpleNamespace(median=1.0))

    def model_dump(self, **_: Any) -> dict[str, float]:
        return {"online_ms": 1.0}


class _Measured(Measurement):
    def __init__(self) -> None:
        """On a machine made up."""

    def environment(self, **_: Any) -> Environment:
        return ENVIRONMENT


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("schema = 1", "schema = 2", "plan.toml: schema: Input should be 1"),
        ("epochs = 1", "epoch = 1", r"recipe short: .*'epoch'"),
        ('method = "random"', 'method = "magic"', "method: expected one of"),
        ('label = "narrow"', 'label = "random"', "label: expected each once; found random again"),
        ('better = "random"', 'better = "fast"', "wide: expected one of random, narrow.*found 'fast'"),
        ('worse = "narrow"', 'worse = "narrow"\nkind = "measure"', "expected kind measure for measures only"),
        ("trials = 2", "trials = 3", "tuned: expected as many trials as tuning says"),
        ("budget = 200", "bugdet = 200", "tuning.b.*"),
        ('network = "resnet18:m=1,', 'network = "resnet18:m=3,', "expected one of resnet18"),
        ('name = "digits"', 'nome = "digits"', "data: "),
        ("schema", "[", "plan.toml: .*"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_in_one_line(before: str, after: str, message: str) -> None:
    assert before in TEXT
    with pytest.raises(ConfigError, match=message) as refused:
        plan_of(TEXT.replace(before, after, 1))
    assert "\n" not in str(refused.value)


def test_only_a_committed_plan_counts(checkout: Path) -> None:
    assert committed(checkout, plan_of()) == Stamp(plan_of().digest, git(checkout.parent, "rev-parse", "HEAD"))
    checkout.write_text(TEXT + LATER)
    with pytest.raises(ConfigError, match=r"expected plan and code as committed, found plan\.toml changed"):
        committed(checkout, load_plan(checkout))
    loose = checkout.parent / "other.toml"
    loose.write_text(TEXT)
    with pytest.raises(ConfigError, match="expected a plan that is committed; --exploratory"):
        committed(loose, plan_of())
    second = write(checkout, TEXT + LATER)
    assert plan_at(checkout, second).digest == load_plan(checkout).digest != plan_of().digest
    code = checkout.parent / "pi_system" / "code.py"
    code.parent.mkdir()
    code.write_text("1")
    write(checkout, TEXT)
    code.write_text("2")
    with pytest.raises(ConfigError, match=r"found pi_system/code\.py changed"):
        committed(checkout, plan_of())


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sittings in this process: what they start, pause and account is tested once, with a real one."""

    def sit(told: str) -> bool:
        given = json.loads(told)
        run, out = Run(**given["run"]), Path(given["out"])
        record = open_record(out, run)
        record.begin(Stamp(**given["stamp"]), {}).core_seconds = 2.0
        record.result = perform(run, out, DataConfig(**given["data"]))
        record.save()
        return True

    monkeypatch.setattr(study_runner, "_sit", sit)


def stops_after(count: int) -> Callable[[], bool]:
    left = iter(range(count))
    return lambda: next(left, None) is None


@pytest.mark.usefixtures("in_process")
def test_what_is_finished_is_a_result_and_the_rest_goes_on(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plan, lines = tmp_path / "out", plan_of(), list[str]()

    def go(count: int) -> None:
        run_plan(plan, out, None, lambda: committed(checkout, plan), until=stops_after(count), report=lines.append)

    assert progress(plan, out).left_core_hours["A"] > 0
    go(7)
    state = progress(plan, out)
    assert keys(state.done) == keys(queue(plan))[:7]
    assert state.left[0].key == "seed1/resnet18-m2-classes10-size8-channels1"
    assert keys(state.skipped) == ["seed0/gpu@200"]
    # Measured: 2 core-seconds a run of its kind; 4 reductions and 2 networks are left in block A.
    assert state.left_core_hours["A"] * 3600 == pytest.approx(2.0 * 6)
    half = collect(plan, checkout, out)
    monkeypatch.setitem(globals(), "perform", lambda run, *_: figures(run))
    assert {run["seed"] for run in half["runs"]} == {0}
    assert set(half["measures"]) == {"sensitivity"}

    go(100)
    assert not progress(plan, out).left
    assert len(lines) == 17
    found = collect(plan, checkout, out)
    assert not found["not_counted"]
    assert (found["primary"], found["left"]) == (["wide"], 1)
    trials = {trial["run"]: trial["tuning_accuracy"] for trial in found["trials"]}
    assert trials == {"trial/tuned-0": 0.5, "trial/tuned-1": 0.75}
    record = read_record(record_file(out, "seed0/tuned@200"))
    assert record.settings["options"] == {"schedule": "once", "granularity": "channel"}
    file = tmp_path / "study.json"
    file.write_text(json.dumps(found))
    study = read_study(file)
    assert set(study.curves) == {"random", "narrow", "tuned"}
    assert [cell.relus for cell in study.curves["narrow"]] == [544, 200]
    assert study.curves["random"][0].by_seed.keys() == {0, 1}
    assert study.fractions == (600 / 1088, 200 / 1088)


def figures(run: Run) -> dict[str, Any]:
    accuracy = 0.75 if run.key == "trial/tuned-1" else 0.5
    count = (run.budget or 1087) + (run.method in ("", "whole"))
    return {"network": run.network, "relus": count, "macs": 1, "test_accuracy": accuracy, "value": 0.1}


def made(out: Path, run: Run, stamp: Stamp) -> Record:
    """A finished run without its training."""
    record = open_record(out, run)
    record.begin(stamp, {})
    record.result = figures(run)
    record.save()
    return record


@pytest.fixture
def counted(checkout: Path, tmp_path: Path) -> tuple[Path, Stamp]:
    """A folder in which one seed of block A is finished."""
    stamp = committed(checkout, plan_of())
    for run in queue(plan_of())[:7]:
        made(tmp_path / "out", run, stamp)
    return tmp_path / "out", stamp


def test_a_claim_that_comes_after_the_first_run_is_not_primary(checkout: Path, counted: tuple[Path, Stamp]) -> None:
    out, stamp = counted
    write(checkout, TEXT + LATER)
    later = load_plan(checkout)
    found = collect(later, checkout, out)
    assert found["primary"] == ["wide"]
    assert found["first_commit"] == stamp.commit
    assert len(found["runs"]) == 6
    text = (
        (TEXT + LATER).replace("wide beats narrow", "narrow beats wide").replace("seeds = [0]\n", "seeds = [0, 1]\n", 1)
    )
    write(checkout, text)
    assert collect(load_plan(checkout), checkout, out)["primary"] == []


def test_a_curve_that_changed_makes_its_claim_exploratory(checkout: Path, counted: tuple[Path, Stamp]) -> None:
    out, _ = counted
    write(checkout, TEXT.replace("budgets = [600, 200]", "budgets = [600, 300, 200]", 1))
    assert collect(load_plan(checkout), checkout, out)["primary"] == []


@pytest.mark.parametrize("why", ["exploratory", "another plan", "no commit", "other settings", "not in the plan then"])
def test_a_run_that_the_committed_plan_does_not_have_is_not_counted(
    checkout: Path, counted: tuple[Path, Stamp], why: str
) -> None:
    out, stamp = counted
    file = record_file(out, "seed0/random@200")
    record = read_record(file)
    plan = plan_of()
    if why == "exploratory":
        record.sittings[0].commit = "exploratory"
    elif why == "another plan":
        record.sittings[0].plan = "0" * 64
    elif why == "no commit":
        record.sittings[0].commit = "0" * 40
    elif why == "other settings":
        record.settings["recipe"]["epochs"] = 9
    else:
        text = TEXT.replace("budgets = [600, 200]", "budgets = [600, 200, 100]", 1)
        write(checkout, text)
        plan = load_plan(checkout)
        extra = next(run for run in queue(plan) if run.key == "seed0/random@100")
        record = made(out, extra, stamp)
    record.save()
    found = collect(plan, checkout, out)
    assert list(found["not_counted"]) == [record.key]
    assert record.key not in {run["run"] for run in found["runs"]}


def test_a_run_without_its_record_or_of_another_plan_is_not_gone_on_with(tmp_path: Path) -> None:
    run = queue(plan_of())[0]
    (tmp_path / run.key).mkdir(parents=True)
    (tmp_path / run.key / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="expected a run with a record"):
        open_record(tmp_path, run)
    made(tmp_path, other := queue(plan_of())[1], Stamp("a", "b"))
    with pytest.raises(ConfigError, match="holds a run with another recipe"):
        open_record(tmp_path, replace(other, recipe={**other.recipe, "epochs": 2}))
    record_file(tmp_path, other.key).write_text("{}")
    with pytest.raises(InputError, match="expected the record of a run"):
        read_records(tmp_path)


def test_measures_budgets_out_of_reach_and_diverging_trainings_are_results(tmp_path: Path) -> None:
    run = queue(plan_of())[0]
    perform(run, tmp_path, DataConfig(name="digits"))
    order = replace(run, key="seed0/order", kind="criticality", source=run.key)
    found = perform(order, tmp_path, DataConfig(name="digits"))
    assert sorted(stage["stage"] for stage in found["stages"]) == [1, 2, 3, 4]
    worth = {stage["stage"]: stage["criticality"] for stage in found["stages"]}
    assert (found["value"] == 1) == (worth[3] > worth[2] > worth[4] > worth[1])
    assert not (tmp_path / "seed0" / "order").exists()
    least = replace(queue(plan_of())[2], method="narrower", options={}, budget=10)
    assert "expected at least" in perform(least, tmp_path, DataConfig(name="digits"))["error"]
    wild = replace(queue(plan_of())[2], key="seed0/wild", recipe={**run.recipe, "learning_rate": 1e30})
    assert "expected a finite loss" in perform(wild, tmp_path, DataConfig(name="digits"))["error"]
    with pytest.raises(ConfigError, match="expected digits, the plan's; found cifar10"):
        data_path("cifar10:x", plan_of())


def test_one_call_at_a_time_has_a_folder(tmp_path: Path) -> None:
    plan = plan_of()
    with alone(tmp_path / "lock"):
        assert held(tmp_path / "lock")
        with pytest.raises(MachineBusyError):
            run_plan(plan, tmp_path, None, lambda: Stamp("a", "b"), until=lambda: True)
    assert not held(tmp_path / "lock")
    assert not held(tmp_path / "none")


def _environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCHMARKS)}


@pytest.fixture
def study(checkout: Path, tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts `study.py run` on a plan of one long training; measurements of its machine lock a file of this test."""
    epochs = TEXT.replace("epochs = 1\n", "epochs = 30\n").partition("[[curves]]")[0].partition("[tuning]")
    blocks = epochs[2].partition("[[blocks]]")
    curve = f'\n[[curves]]\nlabel = "s"\nblock = "A"\nnetwork = "{M1}"\nrecipe = "short"\nmeasure = "sensitivity"\n'
    write(checkout, epochs[0] + blocks[1] + blocks[2].replace("seeds = [0, 1]", "seeds = [0]") + curve)
    command = [sys.executable, str(BENCHMARKS / "study.py"), "run", "--plan", str(checkout), "--data", "digits"]
    command += ["--out", str(tmp_path / "out"), "--threads", "1"]
    started = []

    def start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(command, env=_environment(tmp_path), stderr=subprocess.PIPE, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(condition: Callable[[], Any]) -> None:
    end_s = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_pauses_while_somebody_measures_and_goes_on_after_a_kill(
    study: Callable[[], "subprocess.Popen[bytes]"], checkout: Path, tmp_path: Path
) -> None:
    place = tmp_path / "out" / "seed0" / "resnet18-m1-classes10-size8-channels1"

    def epochs() -> int:
        file = place / "metrics.jsonl"
        return len(file.read_text().splitlines()) if file.is_file() else 0

    def rests() -> bool:
        before = epochs()
        time.sleep(1.0)  # some ten epochs
        return epochs() == before

    first = study()
    until(lambda: epochs() or first.poll() is not None)
    assert first.poll() is None, first.communicate()
    with alone(tmp_path / "pi-system-measuring.lock"):
        until(rests)
        paused = epochs()
    assert 0 < paused < 30
    until(lambda: epochs() > paused)
    os.kill(first.pid, signal.SIGKILL)  # the process at work sees it, saves and ends
    first.wait()
    with alone(tmp_path / "out" / "sitting.lock", wait=True):
        assert epochs() < 30
        assert (place / "checkpoint.safetensors").is_file()
    plan = load_plan(checkout)
    lock, again = tmp_path / "pi-system-measuring.lock", lambda: committed(checkout, plan)
    run_plan(plan, tmp_path / "out", None, again, threads=1, lock=lock, until=stops_after(1))

    record = read_record(record_file(tmp_path / "out", "seed0/resnet18-m1-classes10-size8-channels1"))
    assert len(record.sittings) == 2
    assert all(0 < sitting.core_seconds < 60 for sitting in record.sittings)
    assert {sitting.commit for sitting in record.sittings} == {git(checkout.parent, "rev-parse", "HEAD")}
    config = TrainConfig(**record.settings["recipe"])
    whole = train_run(tmp_path / "whole", M1, DataConfig(name="digits", tuning_fraction=0.1), config)
    assert record.result is not None
    assert record.result["test_accuracy"] == whole["test_accuracy"]
    assert (place / "network.safetensors").read_bytes() == (tmp_path / "whole" / "network.safetensors").read_bytes()
    assert keys(progress(plan, tmp_path / "out").left) == ["seed0/s"]
