"""From a trained run to few bits and back: auto on the digits, training with random signs, what export remembers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from parties import secure_logits

from pi_system.artifact.store import load
from pi_system.cli.train import main
from pi_system.errors import ConfigError
from pi_system.export.compare_bits import CompareOptions
from pi_system.export.finetune import finetune_run
from pi_system.export.job import export_run, judged_of
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.ring.prg import Prg
from pi_system.train import DataConfig, RunDirectory, TrainConfig, load_data, train_run

NETWORK = "resnet18:m=8,depth=00-10-10-10"
RECIPE = TrainConfig(epochs=1, batch_size=64, learning_rate=0.01, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with over 85 % on the digits: four ReLU layers."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    train_run(out, NETWORK, DataConfig(name="digits"), TrainConfig(epochs=6, batch_size=32, device="cpu"))
    return out


def test_auto_keeps_the_accuracy_on_the_digits(trained: Path, tmp_path: Path) -> None:
    """On the test pictures, in fixed point, over many draws, within 0.2 points of exact; privately, too."""
    result = CliRunner().invoke(main, ["export", str(trained), str(tmp_path / "model"), "--compare-bits", "auto"])
    assert result.exit_code == 0, result.output
    assert "143 labelled pictures, 28 draws" in result.output
    assert "So few pictures tell losses to" in result.output
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    table, artifact = card["compare_table"], load(tmp_path / "model")
    graph, ring = artifact.public.graph, artifact.public.ring
    assert card["compare_bits"] == ring.compare_bits
    assert [layer["name"] for layer in table["layers"]] == [node.name for node in graph.relus()]
    assert table["labelled"]
    assert table["total"]["value"] <= table["wanted"] == 0.001
    assert np.mean(list(ring.compare_bits.values())) < 10
    test = judged_of(data := load_data(DataConfig(name="digits")), data.test)
    assert test.labels is not None
    labels = test.labels
    weights, x = quantise_weights(graph, ring, artifact.weights), encode_input(test.pictures, graph, ring)

    def right(coins: Prg | None) -> Any:
        logits = FixedInterpreter(ring, artifact.masks, weights, coins=coins).run(graph, x)
        return logits.argmax(axis=1) == labels

    def accuracy(coins: Prg | None) -> float:
        return float(right(coins).mean())

    exact, drawn = accuracy(None), [accuracy(Prg(draw.to_bytes(16, "little"))) for draw in range(16)]
    assert exact > 0.85
    assert abs(exact - np.mean(drawn)) <= 0.004  # a picture of 359 is 0.0028
    for backend, pictures in (("fss", len(x)), ("table", 24)):
        found, _, _ = secure_logits(backend, artifact, test.pictures[:pictures], tmp_path / "store", reveal="label")
        private, expected = found[:, 0] == labels[:pictures], right(None)[:pictures]
        chance = max(np.std(drawn), 1 / len(x)) * (len(x) / pictures) ** 0.5
        assert abs(private.mean() - expected.mean()) <= 0.002 + 6 * chance


def test_export_says_what_keeps_table_from_a_model_of_few_bits(trained: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["export", str(trained), str(tmp_path / "model"), "--compare-bits", "12", "--json"])
    assert done.exit_code == 0, done.output
    assert "pi-train export --compare-bits 10" in json.loads(done.stdout)["without_table"]


def test_finetuning_learns_to_live_with_random_signs(trained: Path, tmp_path: Path) -> None:
    result = finetune_run(trained, tmp_path / "run", CompareOptions(bits=4), RECIPE)
    assert set(result["compare_bits"].values()) <= {4, 5, 6}
    assert result["windows"].keys() == result["compare_bits"].keys()
    assert finetune_run(trained, tmp_path / "run", CompareOptions(bits=4), RECIPE) == result
    with pytest.raises(ConfigError, match="holds a run with another finetuning"):
        finetune_run(trained, tmp_path / "run", CompareOptions(bits=5), RECIPE)
    assert "draws" not in " ".join(RunDirectory(tmp_path / "run").load().network.state_dict())
    card = export_run(tmp_path / "run", tmp_path / "model")
    assert all(card["compare_bits"][name] >= bits for name, bits in result["compare_bits"].items())
    full = export_run(tmp_path / "run", tmp_path / "full", None, CompareOptions(bits="full"))
    assert (full["compare_bits"], full["compare_table"]) == ({}, None)


def test_the_command_trains_a_run(trained: Path, tmp_path: Path) -> None:
    options = ("--compare-bits", "6", "--epochs", "0", "--quiet", "--json", "--out", str(tmp_path / "run"))
    result = CliRunner().invoke(main, ["finetune", str(trained), *options])
    assert result.exit_code == 0, result.output
    assert 6 in json.loads(result.stdout)["compare_bits"].values()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["finetuning"] == {"source": str(trained), "bits": 6, "loss": None, "pictures": None}
