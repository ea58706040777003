"""Two processes under torchrun against one: the same network up to the order of sums, resumed and reduced, too."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from pi_system.cli.train import main
from pi_system.train import DataSet, ResNet, TrainConfig, fit, load_run
from pi_system.train.parallel import any_of, average_, from_first, is_first, joined, share_of

_RECIPE = ("--epochs", "2", "--batch-size", "64", "--learning-rate", "0.02", "--device", "cpu", "--quiet", "--json")
# Rounding grows tenfold with a step of so small and deep a network: one step leaves it small.
_FEW = ("--epochs", "1", "--batch-size", "1024")
_TWO = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def _start(*arguments: Any) -> Any:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [*_TWO, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _run_one(*arguments: Any) -> Any:
    """In this process: another would import torch again."""
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One network and two processes' of the same commands, reduced, too: its folder, both's results, the gradients."""
    folder = tmp_path_factory.mktemp("runs")
    train = ("train", "--network", "resnet18:m=2", *_RECIPE, *_FEW, "--out")
    reduce = ("reduce", f"{folder}/one", "--budget", "272", *_RECIPE, *_FEW, "--out")
    one, two = ([(*train, f"{folder}/{name}"), (*reduce, f"{folder}/{name}-snl")] for name in ("one", "two"))
    results = [_run_one(*command) for command in one]
    worker = Path(__file__).resolve().parents[2] / "support" / "two_ranks.py"
    process = _start(worker, json.dumps(two))
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    gradients, *theirs = map(json.loads, out.splitlines())
    return folder, results + theirs, gradients


def test_gradients_and_statistics_are_those_of_one_process(ran: Any) -> None:
    assert ran[2]["difference"] < 1e-9
    assert ran[2]["shared"]


def _weights(run: Any) -> Any:
    return load_run(run).network.state_dict()


def _close(first: Any, second: Any) -> bool:
    """Everything the two networks hold agrees to a thousandth of its tensor's largest value."""
    return all(
        (value.double() - second[name].double()).abs().max() <= 1e-3 * max(1.0, value.double().abs().max())
        for name, value in first.items()
    )


@pytest.mark.slow
def test_two_processes_train_and_reduce_the_network_of_one(ran: Any) -> None:
    folder, results, _ = ran
    assert [result["relus"] for result in results] == [1088, 272, 1088, 272]
    assert _close(_weights(folder / "one"), _weights(folder / "two"))
    histories = [
        [json.loads(line)["train_loss"] for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert histories[0] == pytest.approx(histories[1], abs=1e-5)
    maps = [load_run(folder / name).relu_map for name in ("one-snl", "two-snl")]
    same = sum(int((mask == maps[1].masks[name]).sum()) for name, mask in maps[0].masks.items())
    assert same >= 0.97 * 1088  # near-ties in importance may fall the other way
    assert not list(folder.glob("*/work"))


@pytest.mark.slow
def test_stopped_run_of_two_goes_on_with_one(tmp_path: Path) -> None:
    arguments = ("train", "--network", "resnet18:m=2", *_RECIPE, "--epochs", "8", "--out", tmp_path / "run")
    stopped = _start("-m", "pi_system.cli.train", *arguments)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while stopped.poll() is None and not metrics.is_file():
        time.sleep(0.05)
    stopped.send_signal(signal.SIGTERM)
    _, err = stopped.communicate(timeout=120)
    assert "saved: the same command goes on" in err
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
    assert 1 <= len(metrics.read_text().splitlines()) < 8
    _run_one(*arguments)
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == list(range(1, 9))


def test_alone_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    batch = torch.arange(5)
    with joined():
        assert is_first()
        assert share_of(batch).equal(batch)
        assert from_first("x") == "x"
        assert [any_of(flag) for flag in (True, False)] == [True, False]
        average_([batch])
    assert batch.tolist() == [0, 1, 2, 3, 4]


def test_compile_is_no_part_of_what_a_run_is() -> None:
    config = TrainConfig(epochs=1)
    assert config.recorded() == replace(config, compile=True).recorded()
    assert "compile" not in config.recorded()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it imports its compiler
def test_compiled_network_trains_as_the_plain_one(
    tiny: ResNet, digits: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the C++ backend, which takes minutes: what is ours is that the translated network is trained.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    losses = []
    weights = {name: value.clone() for name, value in tiny.state_dict().items()}
    for compiled in (False, True):
        tiny.load_state_dict(weights)
        config = TrainConfig(epochs=1, batch_size=64, learning_rate=0.02, device="cpu", compile=compiled)
        losses.append(fit(tiny, digits, config).history[0]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
