"""pi-train as a user meets it: results on stdout, one line on stderr and a numbered exit code on failure."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from pi_system.cli.options import warn_of_chance
from pi_system.cli.train import main
from pi_system.errors import BudgetError
from pi_system.reduce import METHODS
from pi_system.reduce.job import budget_of
from pi_system.reduce.registry import in_reach, reaching
from pi_system.train import load_run
from pi_system.train.guessing import guessing_accuracy


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("runs") / "full"
    result = _run("train", "--network", "resnet18:m=2", "--epochs", 1, "--quiet", "--json", "--out", out)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_train_then_reduce_then_evaluate(trained: Any, tmp_path: Path) -> None:
    source, full = trained
    out = tmp_path / "half"
    result = _run(
        "reduce",
        source,
        "--fraction",
        0.5,
        "--set",
        "granularity=channel",
        "--epochs",
        2,
        "--batch-size",
        256,
        "--quiet",
        "--json",
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    reduced = json.loads(result.stdout)
    assert full["relus"] == 1088
    assert 0 < reduced["relus"] <= reduced["budget"] == 544
    assert load_run(out).relu_map.count == reduced["relus"]
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "metrics.jsonl",
        "network.safetensors",
        "relu_map.safetensors",
        "result.json",
    ]
    checked = json.loads(_run("evaluate", out, "--json").stdout)
    assert (checked["accuracy"], checked["part"]) == (reduced["test_accuracy"], "test")


def test_a_network_that_guesses_is_warned_of_with_what_to_try(tmp_path: Path) -> None:
    options = ("--network", "resnet18:m=2", "--epochs", 1, "--learning-rate", 1e-9, "--quiet", "--json")
    result = _run("train", *options, "--out", tmp_path / "none")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert 0.1 < found["guessing_accuracy"] < 0.2  # of ten classes, as good as even
    assert result.stderr.startswith("warning: test accuracy ")
    assert result.stderr.count("\n") == 1
    assert "what guessing reaches (up to 1" in result.stderr
    assert "try more --epochs" in result.stderr


@pytest.mark.parametrize(("accuracy", "warned"), [(0.14, True), (0.15, True), (0.16, False)])
def test_who_knows_more_than_guessing_is_not_warned(
    accuracy: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_chance({"test_accuracy": accuracy, "guessing_accuracy": 0.15}, "try")
    assert bool(capsys.readouterr().err) == warned
    warn_of_chance({"test_accuracy": 0.0}, "try")  # of a run that an older version wrote
    assert not capsys.readouterr().err


def test_guessing_names_the_most_frequent_class() -> None:
    even, most = torch.arange(1000) % 10, torch.zeros(1000, dtype=torch.int64)
    most[900:] = 1
    assert guessing_accuracy(even) == pytest.approx(0.1 + 3 * math.sqrt(0.09 / 1000))
    assert guessing_accuracy(most) == pytest.approx(0.9 + 3 * math.sqrt(0.09 / 1000))
    assert guessing_accuracy(most[:5]) == 1.0


def test_the_budget_that_a_refusal_names_is_in_reach(trained: Any) -> None:
    for least in (1, 7, 32, 333, 1087):
        hint = in_reach(BudgetError(least, "", 0), 1088)
        (share,) = re.findall(r"--fraction (\S+);", hint)
        assert f"--budget {least} " in hint
        assert budget_of(1088, None, float(share)) >= least
    assert in_reach(BudgetError(1088, "", 0), 1088) == ""
    assert "reshape=true" not in reaching(7, "deepreduce", {"reshape": "true"})
    assert "reshape=true" not in reaching(7, "deepreduce", {"channels": "0.5"})


def test_a_preset_is_a_recipe_that_other_options_change(trained: Any, tmp_path: Path) -> None:
    config = json.loads((trained[0] / "config.json").read_text())["train"]
    assert (config["schedule"], config["learning_rate"], config["epochs"]) == ("onecycle", 0.2, 1)
    changed = ("--preset", "small", "--epochs", 1, "--learning-rate", 0.01, "--ema", 0.9, "--no-nesterov")
    run = ("train", "--network", "resnet18:m=1", *changed, "--quiet", "--out", tmp_path / "x")
    assert _run(*run).exit_code == 0
    config = json.loads((tmp_path / "x" / "config.json").read_text())["train"]
    assert (config["batch_size"], config["learning_rate"], config["ema"], config["nesterov"]) == (64, 0.01, 0.9, False)
    shown = " ".join(_run("train", "--help").stdout.split())
    assert "paper epochs=160 batch_size=256" in shown


def test_count() -> None:
    assert json.loads(_run("count", "hrn-5x5x3x", "--json").stdout) == {
        "network": "hrn-5x5x3x:m=16",
        "relus": 343_040,
        "relu_layers": 17,
        "macs": 1_053_353_152,
        "parameters": 48_635_348,
    }
    assert "557,056" in _run("count", "resnet18").stdout


def test_methods_lists_all_with_their_options() -> None:
    found = {entry["name"]: entry for entry in json.loads(_run("methods", "--json").stdout)["methods"]}
    assert set(found) == set(METHODS)
    shown = _run("methods").stdout
    for name, entry in found.items():
        assert f"{name}\n  {entry['summary']}\n" in shown
        assert entry["source"] in shown
        assert f"presets  {' '.join(entry['presets'])}" in shown
        assert {option["name"] for option in entry["options"]} == {one.name for one in fields(METHODS[name])}
        assert all(f"{option['name']}={option['default']}" in shown for option in entry["options"])


@pytest.mark.parametrize("arguments", [("--method", "deepreduce", "--help"), ("--help", "--method", "deepreduce")])
def test_help_explains_the_options_of_the_method_named(arguments: tuple[str, ...]) -> None:
    shown = " ".join(_run("reduce", *arguments).stdout.split())
    for text in ("criticality_epochs int", "default: 2; not with order or keep", "thin bool One ReLU layer a block."):
        assert text in shown
    assert "--set KEY=VALUE of gradual" in _run("reduce", "-h").stdout


def test_design() -> None:
    result = _run("design", "--json")
    assert json.loads(result.stdout) == {"multipliers": ["5x5x3x", "5x7x2x", "6x6x2x", "7x5x2x"]}
    assert "2x5x3x" in _run("design", "--order", "3,2,4", "--alpha", 2).stdout


def test_sensitivity_of_layers_and_stages(trained: Any) -> None:
    found = json.loads(_run("sensitivity", trained[0], "--json").stdout)
    assert {layer["stage"] for layer in found["layers"]} == {int(stage) for stage in found["stages"]} == {1, 2, 3, 4}
    assert -1 <= found["by_layer"] <= 1
    text = _run("sensitivity", trained[0]).stdout
    assert "loss without its" in text
    assert "by layer" in text


def test_criticality_and_pareto(trained: Any, tmp_path: Path) -> None:
    recipe = ("--epochs", 1, "--batch-size", 256, "--quiet", "--json")
    found = _run("criticality", trained[0], *recipe, "--out", tmp_path / "c")
    assert {entry["stage"] for entry in json.loads(found.stdout)["criticality"]} == {1, 2, 3, 4}
    options = ("--order", "4,3", "--channels", "1", "--strides", "1")
    points = json.loads(_run("pareto", trained[0], *options, *recipe, "--out", tmp_path / "p").stdout)["points"]
    assert {point["relus"] for point in points} == {32, 64, 96}


def test_sample(tmp_path: Path) -> None:
    result = _run("sample", tmp_path / "digit.png", "--index", 3)
    assert result.exit_code == 0
    assert (tmp_path / "digit.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("count", "nonet"), 10, "expected one of resnet18"),
        (("train", "--data", "cifar10:/no/such/place", "--out", "{tmp}/x"), 11, "expected a folder"),
        (("train", "--data", "cifar10", "--out", "{tmp}/x"), 10, "expected NAME:PATH"),
        (("train", "--network", "resnet18:classes=5", "--out", "{tmp}/x"), 10, "data set has classes=10"),
        (("train", "--learning-rate", "-1", "--out", "{tmp}/x"), 10, "learning_rate: expected above 0"),
        (("reduce", "{tmp}", "--budget", "9", "--out", "{tmp}/x"), 11, "expected a run directory"),
        (
            ("reduce", "{run}", "--out", "{tmp}/x"),
            10,
            "--budget, --fraction: expected one of them, a number of ReLUs or a share; found neither",
        ),
        (("reduce", "{run}", "--budget", "0", "--out", "{tmp}/x"), 10, "expected at least 1 ReLUs"),
        (
            ("reduce", "{run}", "--method", "deepreduce", "--budget", "2", "--out", "{tmp}/x"),
            10,
            "expected at least 32 ReLUs, the least that these steps reach here; found 2; "
            "try --budget 32 or --fraction 0.0295; --set reshape=true tries narrower and coarser networks, too; "
            "methods that keep any number of ReLUs from 1: gradual, snl",
        ),
        (
            ("reduce", "{run}", "--method", "deepreduce", "--budget", "99", "--set", "thin=true", "--out", "{tmp}/x"),
            10,
            "method deepreduce, thin: has an effect only with keep",
        ),
        (("pareto", "{run}", "--order", "3,x", "--out", "{tmp}/x"), 10, "--order: expected numbers"),
        (("train", "--preset", "slow", "--out", "{tmp}/x"), 10, "preset: expected one of fast, small, paper"),
        (("reduce", "{run}", "--preset", "slow", "--budget", "9", "--out", "{tmp}/x"), 10, "preset: expected one of"),
        (("design", "--blocks", "2,2"), 10, "--blocks: expected four numbers"),
        (("reduce", "{run}", "--budget", "9999", "--out", "{tmp}/x"), 10, "(the network is within it as it is)"),
        (("reduce", "{run}", "--budget", "99", "--set", "a", "--out", "{tmp}/x"), 10, "KEY=VALUE"),
        (("evaluate", "{tmp}"), 11, "expected a run directory"),
        (("train", "--epochs", "two", "--out", "{tmp}/x"), 2, "Invalid value"),
    ],
)
def test_failures_are_one_line_and_a_code(
    trained: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = _run(*(a.replace("{tmp}", str(tmp_path)).replace("{run}", str(trained[0])) for a in arguments))
    assert result.exit_code == code
    assert message in result.stderr
    assert not result.stdout
    if code != 2:
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (
            ("--method", "whole", "--budget", 5, "--epochs", 0),
            "note: whole keeps all 1,088 ReLUs, it is a control; the budget of 5 is not met\n",
        ),
        (
            ("--fraction", 0.5, "--epochs", 1),
            "note: choosing and changing ReLUs took all --epochs (1), nothing was finetuned; give 2 or more\n",
        ),
        (("--fraction", 0.5, "--epochs", 2), ""),
        (("--fraction", 0.5, "--epochs", 0), ""),
    ],
)
def test_what_one_does_not_expect_of_a_reduction_is_said(
    trained: Any, tmp_path: Path, arguments: tuple[Any, ...], note: str
) -> None:
    result = _run("reduce", trained[0], *arguments, "--batch-size", 256, "--quiet", "--out", tmp_path / "out")
    assert (result.exit_code, "".join(re.findall("note: .*\n", result.stderr))) == (0, note)


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--network", "resnet18:m=2", "--epochs", "400", "--quiet", "--out", str(out)]
    command = [sys.executable, "-c", "from pi_system.cli.train import main; main()", "train", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    metrics = out / "metrics.jsonl"
    while not metrics.is_file() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "saved: the same command goes on from here" in stderr
    assert (out / "checkpoint.safetensors").is_file()
    assert _run("evaluate", out).exit_code == 11
