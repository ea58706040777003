import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError, InputError
from pi_system.train import DataConfig, ReluMap, RunDirectory, TrainConfig, load_run, train_run

_DATA = DataConfig(name="digits")
_CONFIG = TrainConfig(epochs=1, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("runs") / "a"
    return out, train_run(out, "resnet18:m=2", _DATA, _CONFIG)


def test_run_directory_holds_what_export_reads(run: Any) -> None:
    out, result = run
    network, spec, relu_map, preprocess = load_run(out)
    assert str(spec) == result["network"] == "resnet18:m=2,classes=10,size=8,channels=1"
    assert relu_map == ReluMap.of(network)
    assert relu_map.count == result["relus"] == 8704 // 8
    assert preprocess.classes == tuple("0123456789")
    assert not network.training
    names = {"config.json", "metrics.jsonl", "network.safetensors", "relu_map.safetensors", "result.json"}
    assert {path.name for path in out.iterdir()} == names


def test_loaded_network_scores_what_the_run_reported(run: Any) -> None:
    out, result = run
    assert RunDirectory(out).evaluate("test")["accuracy"] == result["test_accuracy"]
    assert RunDirectory(out).evaluate("validation")["accuracy"] == result["validation_accuracy"]


def test_metrics_have_a_line_an_epoch(run: Any) -> None:
    lines = [json.loads(line) for line in (run[0] / "metrics.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["epoch"]) for line in lines] == [("train", 1)]
    assert lines[0]["validation_accuracy"] == run[1]["validation_accuracy"]


def test_finished_run_is_not_repeated_and_not_overwritten(run: Any) -> None:
    out, result = run
    assert train_run(out, "resnet18:m=2", _DATA, _CONFIG) == result
    with pytest.raises(ConfigError, match="another train; name another directory"):
        train_run(out, "resnet18:m=2", _DATA, TrainConfig(epochs=2, device="cpu"))
    with pytest.raises(ConfigError, match="another network"):
        train_run(out, "resnet18:m=4", _DATA, _CONFIG)


def test_failed_start_leaves_the_directory_free(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a")
    run.claim(_DATA, network="one")
    run.claim(_DATA, network="two")
    assert run.config()["network"] == "two"


def test_damaged_runs_are_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run directory"):
        load_run(tmp_path)
    for name in ("result.json", "relu_map.safetensors", "network.safetensors"):
        (tmp_path / name).write_bytes((run[0] / name).read_bytes())
    assert torch.equal(load_run(tmp_path).network.fc.weight, load_run(run[0]).network.fc.weight)
    (tmp_path / "network.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(InputError, match="expected the weights of resnet18:m=2"):
        load_run(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text()) | {"network": "resnet18:m=4,size=8"}
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "network.safetensors").write_bytes((run[0] / "network.safetensors").read_bytes())
    with pytest.raises(InputError, match="expected the weights of resnet18:m=4"):
        load_run(tmp_path)


def test_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a place to write to"):
        RunDirectory(tmp_path / "file" / "run").claim(_DATA)
