"""One measurement at a time, on an idle machine, and what is recorded of it."""

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner
from measured import ENVIRONMENT
from measuring import BENCHMARKS, documents, machine
from measuring.environment import Environment, changed, environment
from measuring.machine import MachineBusyError, Measurement, alone, measures

from pi_system.cli.errors import PiCommand

HOLDER = "import sys, pathlib; from measuring.machine import alone\nwith alone(pathlib.Path(sys.argv[1])): "
HOLDER += "print('held', flush=True); input()"
WORK = "import time; end_s = time.monotonic() + 60\nwhile time.monotonic() < end_s: pass"
# Leaves a child at work, which is then outside of the tree of whoever started this.
ORPHAN = "import subprocess, sys; worker = subprocess.Popen(sys.argv[1:], stdout=-3, stderr=-3); print(worker.pid)"


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {"PYTHONPATH": str(BENCHMARKS), "PATH": ""}
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[psutil.Process]:
    (tmp_path / "stranger").symlink_to(sys.executable)  # a process is named after what is started
    command = [sys.executable, "-c", ORPHAN, str(tmp_path / "stranger"), "-c", WORK]
    made = subprocess.run(command, capture_output=True, check=True, timeout=30)
    process = psutil.Process(int(made.stdout))
    yield process
    process.kill()


def test_a_second_measurement_is_told_who_runs(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with (
        pytest.raises(MachineBusyError, match=f"process {holder.pid}: -c {tmp_path}/lock"),
        alone(lock=tmp_path / "lock"),
    ):
        pass
    with alone(lock=tmp_path / "lock", shared=True):
        pass


def test_the_lock_is_free_when_its_holder_is_gone_and_may_be_waited_for(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.close()
    for wait in (True, False):
        with alone(tmp_path / "lock", wait=wait):
            assert f"process {os.getpid()}: " in (tmp_path / "lock").read_text()


@click.command(cls=PiCommand)
@measures
@click.option("--said", default="nothing")
def measure(run: Measurement, said: str) -> None:
    """Measure nothing."""
    click.echo(json.dumps(run.report("none", said=said)))


def test_other_work_stops_a_measurement_unless_it_is_wanted_and_is_recorded(
    stranger: psutil.Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LOCK", tmp_path / "lock")
    refused = CliRunner().invoke(measure, [])
    assert refused.exit_code == MachineBusyError.exit_code
    assert "expected an idle machine, found" in refused.output
    assert "stranger at" in refused.output
    done = CliRunner().invoke(measure, ["--busy", "--said", "it"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["said"] == "it"
    environment = Environment.model_validate(report["environment"])
    assert (environment.others_before or {})["stranger"] > machine.BUSY


def test_what_works_for_the_measurement_is_no_other(tmp_path: Path, stranger: psutil.Process) -> None:
    (tmp_path / "own").symlink_to(sys.executable)
    watch = machine.Watch()
    with subprocess.Popen([tmp_path / "own", "-c", WORK]) as child:
        assert watch.look() == {}  # too early to tell
        end_s = time.monotonic() + 1.2
        while psutil.Process(child.pid).cpu_times().user < 0.2 or time.monotonic() < end_s:
            time.sleep(0.1)
        others = watch.look()
        child.kill()
    assert "stranger" in others
    assert "own" not in others


def test_an_environment_names_versions_and_instruction_paths_but_neither_host_nor_path() -> None:
    found = environment(pinned_cores={"server": 0, "client": 1}, threads=1, load_before=(0.5, 0.25, 0.125))
    assert found.python == platform.python_version()
    assert found.packages["torch"]
    assert set(found.kernels) == {"aes", "conv_32", "conv_64"}
    assert all(found.kernels.values())
    assert found.load_before == (0.5, 0.25, 0.125)
    assert found.usable_cores <= found.cores
    text = found.model_dump_json()
    assert f'"{socket.gethostname()}"' not in text
    assert '"/' not in text


def test_results_that_were_kept_are_no_change_of_what_runs(tmp_path: Path) -> None:
    kept, code = tmp_path / "benchmarks" / "results" / "known" / "a.json", tmp_path / "benchmarks" / "run.py"
    kept.parent.mkdir(parents=True)
    kept.touch()
    code.touch()
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    kept.write_text("{}")
    kept.with_name("b.json").touch()
    assert not changed(tmp_path)
    code.write_text("1")
    assert changed(tmp_path)


def test_a_kept_file_is_named_after_when_where_and_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "RESULTS", tmp_path)
    documents.publish({"environment": ENVIRONMENT.model_dump()}, "tls/{date}_{machine}-{cores}-cores_{sha}", keep=True)
    (path,) = tmp_path.rglob("*.json")
    assert path.relative_to(tmp_path) == Path("tls/2026-11-20_intel-xeon-cpu-2-60ghz-2-cores_abc.json")
