"""``pi-client infer`` over several batches, stopped or left alone in the middle: what was answered is shown."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import ENVIRONMENT, model_folder, pi_client, pi_server
from scaled_artifact import relu_artifact

CODE = """
from pi_system.rpc import client_session
client_session.BATCH_BYTES = 1  # a batch an input
whole = client_session.ClientSession.infer
def infer(session, inputs):
    found = whole(session, inputs)
    print("answered", flush=True)
    return found
client_session.ClientSession.infer = infer
from pi_system.cli.start import client
client()
"""
INPUTS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = model_folder(tmp_path_factory.mktemp("answers"), relu_artifact(0.1))
    shape = (INPUTS, 1, 8, 8)
    np.save(folder / "many.npy", np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    return folder


def stopped(folder: Path, arguments: tuple[str, ...], stop: Any) -> tuple[int, str, str]:
    """The end of a run in which ``stop`` is called with the process behind the second answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "infer", "many.npy", *arguments],
        env=ENVIRONMENT,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["answered\n"] * 2
        stop(process)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out.replace("answered\n", ""), err


def links(address: str, keys: Path) -> tuple[str, ...]:
    return ("--server", address, "--keys", f"{keys}/client", "--backend", "gmw", "--store", "store")


def test_answers_before_a_stop_are_shown_and_are_right(folder: Path, link_keys: Path) -> None:
    keys, store = f"{link_keys}/server", folder / "server-store"
    with pi_server(folder / "model", store, "--keys", keys, "--reveal", "logits") as (_, address):
        options = links(address, link_keys)
        code, out, err = stopped(folder, (*options, "--json"), lambda process: process.send_signal(signal.SIGINT))
        assert code == 130
        found = re.fullmatch(r"only the first (\d+) inputs are answered\nerror: stopped with (\d+) ready\n", err)
        assert found, err
        answers = json.loads(out)["predictions"]
        assert 2 <= len(answers) == int(found[1]) < INPUTS
        assert [one["path"] for one in answers] == [f"many.npy[{index}]" for index in range(len(answers))]
        left = pi_client(folder, "store", "list", "--store", "store").stdout
        assert sum(map(int, re.findall(r": (\d+) unused", left))) == int(found[2])
        whole = json.loads(pi_client(folder, "infer", "many.npy", *options, "--json").stdout)["predictions"]
        assert [one["class"] for one in whole[: len(answers)]] == [one["class"] for one in answers]


def test_answers_before_a_server_ends_are_shown(folder: Path, link_keys: Path) -> None:
    keys, store = f"{link_keys}/server", folder / "other-store"
    with pi_server(folder / "model", store, "--keys", keys) as (server, address):
        options = (*links(address, link_keys), "--store", "other")
        code, out, err = stopped(folder, options, lambda process: server.popen.kill())
    assert code not in (0, 130)
    answers = len(re.findall(r"^many\.npy\[", out, re.MULTILINE))
    assert 2 <= answers < INPUTS
    assert re.fullmatch(rf"only the first {answers} inputs are answered\nerror: .+\n", err)
