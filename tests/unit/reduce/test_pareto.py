import json
from pathlib import Path
from typing import Any

import pytest

from pi_system.reduce import pareto_run, reduce_run
from pi_system.reduce.pareto import criticality_run, pareto_set
from pi_system.train import DataConfig, Interrupted, TrainConfig, load_run, train_run
from pi_system.train.run import RunDirectory

_CONFIG = TrainConfig(epochs=0, batch_size=128, device="cpu")  # which points there are needs no training


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("runs") / "source"
    train_run(out, "resnet18:m=2", DataConfig(name="digits"), _CONFIG)
    return out


def test_pareto_set() -> None:
    assert pareto_set([(10, 0.5), (20, 0.6), (20, 0.7), (30, 0.7), (5, 0.1), (40, 0.9)]) == {0, 2, 4, 5}
    assert pareto_set([(10, 0.5), (10, 0.5)]) == {0, 1}


def test_search_writes_a_run_for_every_point_and_resumes(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"order": (3, 2, 4, 1), "channels": (1.0, 0.5), "strides": (1,)}
    calls = []

    def stop(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[1].name)
        if len(calls) == 4:
            raise Interrupted("stopped")
        return reduce_run(*arguments, **options)

    monkeypatch.setattr("pi_system.reduce.pareto.reduce_run", stop)
    with pytest.raises(Interrupted):
        pareto_run(source, tmp_path, _CONFIG, **settings)
    monkeypatch.setattr("pi_system.reduce.pareto.reduce_run", reduce_run)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("points/*/result.json")}
    found = pareto_run(source, tmp_path, _CONFIG, **settings)
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert found == json.loads((tmp_path / "pareto.json").read_text())
    points = found["points"]
    assert len(points) == 2 * 8 - 1  # culling 4 x thinning 2, for each of 2 widths, less the network itself
    assert [point["relus"] for point in points] == sorted(point["relus"] for point in points)
    for point in points[:3]:
        assert load_run(tmp_path / point["run"]).relu_map.count == point["relus"]
    best = [point for point in points if point["pareto"]]
    assert 1 <= len(best) < len(points)
    assert [p["validation_accuracy"] for p in best] == sorted(p["validation_accuracy"] for p in best)


def test_criticality_of_a_run(source: Any, tmp_path: Path) -> None:
    entries = criticality_run(source, tmp_path, _CONFIG, epochs=1)
    assert {entry.stage: entry.relus for entry in entries} == {1: 640, 2: 256, 3: 128, 4: 64}
    assert RunDirectory(source).finished
