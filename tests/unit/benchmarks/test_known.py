"""Well-known networks: their definitions, one private inference of a small one, and what is said of kept runs."""

import json
from pathlib import Path
from typing import Any

import known_networks
import numpy as np
import pytest
from measuring import documents, known
from measuring.cnns import CNNS
from measuring.known import Known, comparison, structured_pictures
from torch import nn

PARAMETERS = {
    "resnet50": 25_557_032,
    "squeezenet1_1": 1_235_496,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
}
"""As torchvision counts them."""


@pytest.mark.parametrize("name", CNNS)
def test_a_network_has_the_published_number_of_parameters(name: str) -> None:
    assert sum(parameter.numel() for parameter in CNNS[name]().parameters()) == PARAMETERS[name]


def test_pictures_are_the_same_for_a_seed_and_differ_from_each_other() -> None:
    pictures = structured_pictures(32, 16, 1)
    assert pictures.shape == (16, 3, 32, 32)
    assert (pictures == structured_pictures(32, 16, 1)).all()
    assert not np.isclose(pictures, structured_pictures(32, 16, 2)).any(axis=(1, 2, 3)).all()
    assert pictures.mean(axis=(1, 2, 3)).std() > 0.1  # of uniform pixels: 0.02


def test_a_comparison_is_of_the_spread_and_of_labels() -> None:
    expected = np.array([[0.0, 2.0], [3.0, 1.0]])
    assert comparison(expected + np.array([[0.0, 0.0], [0.0, 2.5]]), expected) == {
        "error": 2.5,
        "spread": 1.0,
        "labels": 0.5,
    }


def test_a_step_is_done_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make(value: int) -> dict[str, Any]:
        made.append(value)
        return {"value": value}

    path = tmp_path / "step.json"
    assert [documents.once(path, make, value) for value in (1, 2)] == [{"value": 1}] * 2
    assert made == [1]


def test_a_small_network_is_exported_and_run_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [nn.Conv2d(3, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    monkeypatch.setitem(CNNS, "small", lambda: nn.Sequential(*layers, nn.Linear(4, 1000)))
    small = Known("small", 32, tmp_path)
    sample = small.export()
    assert sample["stated"]["pictures"] == known.CALIBRATION
    assert sample["stated"]["error"] <= 0.02
    assert sample["fresh"]["error"] <= 0.03
    assert sample["peak_memory_bytes"] > 0
    run = small.infer("gmw")
    assert run["error"] <= 0.02
    assert run["labels"] == 1
    assert run["within_ulp_bound"]
    report = {"networks": [{**sample, "runs": [run]}], "environment": {"date": "2026-01-02T03:04", "git_sha": "abc"}}
    report["environment"]["others_during"] = {"python": 0.9}  # type: ignore[index]
    monkeypatch.setattr(known_networks, "KEPT", tmp_path)
    (tmp_path / "32.json").write_text(json.dumps(report))
    assert "| `gmw` |" in known_networks.table()
    assert "beside other work" in known_networks.table()
    assert "Not run: resnet50, squeezenet1_1, densenet121, mobilenet_v2." in known_networks.table()
