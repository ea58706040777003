"""``pi-client prepare`` ahead of time: stopped, killed, beside other sessions of the same client, on a terminal."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parties import uses_in
from processes import ENVIRONMENT, model_folder, pi_server
from scaled_artifact import relu_artifact

BACKEND = {f"PI_{command}_BACKEND": "gmw" for command in ("PREPARE", "INFER")}
"""One for all calls: what ``auto`` takes once nothing is ready is a matter of the link's probe."""
MANY = "2000"
"""More than are prepared within a test."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return model_folder(tmp_path_factory.mktemp("prepare"), relu_artifact(0.1))


@pytest.fixture(scope="module")
def server(folder: Any, link_keys: Path) -> Iterator[Any]:
    with pi_server(folder / "model", folder / "server-store", "--keys", f"{link_keys}/server") as running:
        yield running


@pytest.fixture
def start(folder: Any, server: Any, link_keys: Path) -> Iterator[Any]:
    """Starts clients; ends them after the test."""
    running = []

    def start_client(*arguments: Any, stderr: Any = subprocess.PIPE) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-m", "pi_client.cli", *arguments],
            env=ENVIRONMENT | {"PI_SERVER": server[1], "PI_KEYS": f"{link_keys}/client"} | BACKEND,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        running.append(process)
        return process

    yield start_client
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start: Any) -> Any:
    def run_client(*arguments: Any) -> Any:
        process = start(*arguments)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        return stdout

    return run_client


def material(folder: Any, store: Any) -> Any:
    """Ids of unused material of this client and, of those of its server, the ones the client has, too."""
    client = {path.stem for path in (folder / store).rglob("*.ready")}
    return client, client & {path.stem for path in (folder / "server-store").rglob("*.ready")}


def wait_ready(folder: Any, store: Any, process: Any, count: int = 2) -> None:
    deadline_s = time.monotonic() + 60
    while len(material(folder, store)[0]) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_count_is_what_shall_be_ready(run: Any) -> None:
    auto = ("prepare", "--store", "count", "--backend", "auto")
    said = [run(*auto, "--count", count).splitlines() for count in ("2", "2", "3")]
    assert [lines[-1].partition(";")[0] for lines in said] == [
        "prepared 2, 2 ready",
        "2 ready, nothing to prepare",
        "prepared 1, 3 ready",
    ]
    assert all(lines[0].startswith("backend ") for lines in said)
    stays = r" \([\d.]+ more, kept, unless it has the model's weights for such groups\)"
    takes = rf"takes [\d.]+ MB of disk here, [\d.]+ MB at the server(|{stays}), at most [\d.]+ MB"
    assert re.match(f"prepares 2: {takes} over the links of this client", said[0][1])
    assert len({lines[0].partition(":")[0] for lines in said}) == 1  # what lies prepared is added to


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_run_keeps_what_is_finished_and_goes_on(
    folder: Any, server: Any, start: Any, run: Any, number: signal.Signals
) -> None:
    store, log = f"stopped-{number}", len(server[0].log)
    process = start("prepare", "--count", MANY, "--store", store)
    wait_ready(folder, store, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert re.fullmatch(
            r"(prepared .*\n)*error: stopped with \d+ ready; the same command prepares the rest\n", stderr
        )
    server[0].wait_log("preparing 2000 inferences", start=log)
    server[0].wait_log("session ends: PeerUnavailableError", start=log)
    ready, common = material(folder, store)
    assert ready == common
    goal = len(ready) + 1
    # Stopped between a bundle's file and its row in the index, the last bundle is none yet: its file is deleted.
    assert re.search(f"^prepared [12], {goal} ready", run("prepare", "--count", str(goal), "--store", store), re.M)
    assert not json.loads(run("infer", "a.png", "--json", "--store", store))["prepared_now"]
    assert server[0].popen.poll() is None


def test_one_client_prepares_and_infers_at_once(folder: Any, start: Any, run: Any) -> None:
    store = "both"
    background = start("prepare", "--count", MANY, "--store", store)
    wait_ready(folder, store, background, count=4)
    classes = set()
    for _ in range(3):
        result = json.loads(run("infer", "a.png", "--json", "--store", store))
        assert not result["prepared_now"]
        classes.add(result["predictions"][0]["class"])
    assert len(classes) == 1
    assert background.poll() is None
    background.send_signal(signal.SIGINT)
    background.communicate(timeout=60)
    ready, common = material(folder, store)
    assert ready == common
    used = set(uses_in(folder / store / "client"))
    assert len(used) == 3
    assert not ready & used


def test_stores_of_both_put_back_from_a_backup_are_burned_and_prepared_anew(
    folder: Any, server: Any, start: Any, run: Any, tmp_path: Path
) -> None:
    store, log = "restored", len(server[0].log)
    run("prepare", "--count", "2", "--store", store)
    (mine,) = (path.parent for path in (folder / store).rglob("uses"))
    (theirs,) = (path for path in (folder / "server-store").rglob(mine.name))
    for place, path in (("mine", mine), ("theirs", theirs)):
        shutil.copytree(path, tmp_path / place)
    assert not json.loads(run("infer", "a.png", "--json", "--store", store))["prepared_now"]
    for place, path in (("mine", mine), ("theirs", theirs)):
        shutil.rmtree(path)
        shutil.copytree(tmp_path / place, path)
    process = start("infer", "a.png", "--json", "--store", store)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["prepared_now"]
    assert "found a copy: put back from a backup, or from another machine: 1 unused inferences burned" in stderr
    server[0].wait_log("found a copy: .* 1 unused inferences burned", start=log)
    assert material(folder, store) == (set(), set())


def test_a_client_does_not_fail_for_what_its_server_lost(folder: Path, run: Any) -> None:
    """Neither once for each lost inference, nor for ever: the hello finds it out, and what is left is used."""
    run("prepare", "--count", "3", "--store", "halves")
    ours, _ = material(folder, "halves")
    lost, *_ = sorted(ours)
    (path,) = (folder / "server-store").rglob(f"{lost}.ready")
    path.unlink()
    for prepared_now in (False, False, True):
        assert json.loads(run("infer", "a.png", "--json", "--store", "halves"))["prepared_now"] == prepared_now
    assert not list((folder / "halves").rglob("*.ready"))


def test_burning_one_side_is_enough(folder: Path, server: Any, start: Any, run: Any) -> None:
    run("prepare", "--count", "2", "--store", "burned")
    assert "2 unused inferences burned" in run("store", "burn", "--all", "--store", "burned")
    assert json.loads(run("infer", "a.png", "--json", "--store", "burned"))["prepared_now"]
    server[0].wait_log("records of uses do not fit.* 2 unused inferences burned")


def on_terminal(start: Any, *arguments: Any) -> bytes:
    """What a client writes to a terminal."""
    ours, theirs = pty.openpty()
    process = start(*arguments, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the end of a terminal
        pass
    finally:
        os.close(ours)
    assert process.wait(20) == 0
    return shown


def test_terminal_shows_progress(start: Any) -> None:
    shown = on_terminal(start, "prepare", "--count", "3", "--store", "terminal")
    assert b"prepared" in shown
    assert b"3/3" in shown
    assert b"inferences" in shown
    assert b"MB" in shown
    shown = on_terminal(start, "infer", "a.png", "b.png", "a.png", "b.png", "--store", "terminal")
    assert b"prepared" in shown
    assert b"4/4" in shown
    assert shown.index(b"prepared") < shown.index(b"online")
    assert b"0/4" in shown
