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
SLOW = """
import os, signal
from pi_system.secure.party import ClientParty
def infer(party, *arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return whole(party, *arguments)
whole, ClientParty.infer = ClientParty.infer, infer
from pi_system.cli.start import client
client()
"""
INPUTS = 60
STOPPED = (
    rf"only the first (\d+) of {INPUTS} inputs are answered\n"
    r"error: stopped with (\d+) ready(?:, 1 spent without an answer)?\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = model_folder(tmp_path_factory.mktemp("answers"), relu_artifact(0.1))
    shape = (INPUTS, 1, 8, 8)
    np.save(folder / "many.npy", np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    np.save(folder / "few.npy", np.load(folder / "many.npy")[:5])
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
        found = re.fullmatch(STOPPED, err)
        assert found, err
        found_json = json.loads(out)
        answers = found_json["predictions"]
        assert found_json["asked"] == INPUTS
        assert found_json["offline_count"] >= len(answers)
        assert 2 <= len(answers) == int(found[1]) < INPUTS
        assert [one["path"] for one in answers] == [f"many.npy[{index}]" for index in range(len(answers))]
        left = pi_client(folder, "store", "list", "--store", "store").stdout
        assert sum(map(int, re.findall(r": (\d+) unused", left))) == int(found[2])
        whole = json.loads(pi_client(folder, "infer", "many.npy", *options, "--json").stdout)["predictions"]
        assert [one["class"] for one in whole[: len(answers)]] == [one["class"] for one in answers]


def test_an_input_that_does_not_fit_is_named_and_costs_nothing(folder: Path, link_keys: Path) -> None:
    far = np.load(folder / "many.npy")[:4]
    far[2, 0, 3, 3] = 1e8
    np.save(folder / "far.npy", far)
    with pi_server(folder / "model", folder / "far-server", "--keys", f"{link_keys}/server") as (_, address):
        options = (*links(address, link_keys)[:-1], "far")
        assert pi_client(folder, "prepare", "--count", "5", *options).returncode == 0
        done = pi_client(folder, "infer", "far.npy", *options)
        assert done.returncode == 11
        assert re.fullmatch(r"error: far\.npy\[2\]: expected values below 2\^\d+ in magnitude .*\n", done.stderr)
        assert ": 5 unused" in pi_client(folder, "store", "list", "--store", "far").stdout


def test_what_a_stop_spends_is_said(folder: Path, link_keys: Path) -> None:
    """All in one batch, stopped in the middle of its online phase."""
    keys, store = f"{link_keys}/server", folder / "spent-store"
    with pi_server(folder / "model", store, "--keys", keys) as (_, address):
        options = (*links(address, link_keys)[:-1], "spent")
        assert pi_client(folder, "prepare", "--count", "8", *options).returncode == 0
        done = pi_client(folder, "infer", "few.npy", *options, code=SLOW)
    assert done.returncode == 130
    assert done.stderr == "error: stopped with 3 ready, 5 spent without an answer\n"


def test_answers_before_a_server_ends_are_shown(folder: Path, link_keys: Path) -> None:
    keys, store = f"{link_keys}/server", folder / "other-store"
    with pi_server(folder / "model", store, "--keys", keys) as (server, address):
        options = (*links(address, link_keys), "--store", "other")
        code, out, err = stopped(folder, options, lambda process: server.popen.kill())
    assert code not in (0, 130)
    answers = len(re.findall(r"^many\.npy\[", out, re.MULTILINE))
    assert 2 <= answers < INPUTS
    assert re.fullmatch(rf"only the first {answers} of {INPUTS} inputs are answered\nerror: .+\n", err)
