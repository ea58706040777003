"""``pi-client prepare`` interrupted at any moment: it ends, says so, and what it finished is there on both sides."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import ENVIRONMENT, model_folder, pi_server
from scaled_artifact import relu_artifact

CODE = "from pi_system.cli.start import client; print('starts', flush=True); client()"
"""The program as it is installed; what comes before is Python's own start."""
SAID = r"error: stopped( with \d+ ready; the same command prepares the rest)?\n"
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return model_folder(tmp_path_factory.mktemp("interrupted"), relu_artifact(0.1))


@pytest.fixture(scope="module")
def server(folder: Any, link_keys: Path) -> Iterator[Any]:
    with pi_server(folder / "model", folder / "server-store", "--keys", f"{link_keys}/server") as running:
        yield running


@pytest.fixture
def start(folder: Any, server: Any, link_keys: Path) -> Iterator[Any]:
    """Starts ``prepare`` for a count; ends it after the test."""
    running = []
    variables = {"PI_SERVER": server[1], "PI_KEYS": f"{link_keys}/client", "PI_PREPARE_BACKEND": "gmw"}

    def start_client(store: str, count: int) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, "prepare", "--store", store, "--count", str(count)],
            env=ENVIRONMENT | variables,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "starts\n"
        return process

    yield start_client
    for process in running:
        process.kill()
        process.communicate()


def ready(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.ready")}


def wait_ready(folder: Path, process: Any) -> None:
    """Until one is prepared."""
    until_s = time.monotonic() + 60
    while not ready(folder):
        assert process.poll() is None
        assert time.monotonic() < until_s
        time.sleep(0.01)


def cases() -> list[tuple[bool, float]]:
    """Whether one shall be ready before, and the seconds after that: in all a start does, and in the long phase."""
    drawn = random.Random(7)
    return [(late, round(drawn.uniform(0.05, 1.5 if late else 2.5), 3)) for late in (False, True) for _ in range(6)]


@pytest.mark.parametrize(("late", "seconds"), cases())
def test_it_ends_and_loses_nothing(
    folder: Any, server: Any, start: Any, late: bool, seconds: float, request: Any
) -> None:
    store = f"store-{request.node.callspec.id}"
    process = start(store, 2000)
    if late:
        wait_ready(folder / store, process)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, (stdout, stderr)
    assert re.fullmatch(SAID, stderr)
    ours, theirs = ready(folder / store), ready(folder / "server-store")
    assert ours <= theirs
    assert ours or not late
    again = start(store, len(ours) + 1)
    stdout, stderr = again.communicate(timeout=120)
    assert again.returncode == 0, stderr
    # Stopped between a bundle's file and its row in the index, the last bundle is none yet.
    assert re.search(rf"^prepared [12], {len(ours) + 1} ready", stdout, re.MULTILINE)
    assert server[0].popen.poll() is None


def test_one_who_is_in_a_hurry_is_not_kept(folder: Any, start: Any) -> None:
    """Two signals at once: the second is raised wherever the first has led, and the program ends all the same."""
    process = start("hurry", 2000)
    wait_ready(folder / "hurry", process)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.005)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode in (130, -signal.SIGINT)
