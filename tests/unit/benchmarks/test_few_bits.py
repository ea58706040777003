"""What q08 measures of a trained network: losses against exact signs, in both arithmetics, and counted bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring import few_bits
from measuring.few_bits import Subject, accuracy_sample, cost_samples
from random_networks import random_small_artifact

from pi_system.export.compare_loss import Judged
from pi_system.export.random import random_pictures
from pi_system.train import DataConfig, load_data


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A network that was never trained, on a few digits, of which every exact label is right."""
    artifact, data = random_small_artifact(4), load_data(DataConfig(name="digits"))
    pictures = random_pictures(artifact.public.graph.input.shape, 24, 1)
    monkeypatch.setattr(few_bits, "calibration_of", lambda data: pictures)
    labels = few_bits._labels(artifact, pictures, None, False)
    monkeypatch.setattr(few_bits, "judged_of", lambda data, part=None: Judged(pictures, labels))
    return Subject("net", artifact, data)


def test_few_bits_lose_and_all_bits_do_not(subject: Subject) -> None:
    few, full = accuracy_sample(subject, 2, 4), accuracy_sample(subject, "full", 4)
    assert full["loss"]["value"] == 0
    assert 0 < few["loss"]["value"] <= 1
    assert few["exact_accuracy"] == full["exact_accuracy"] == 1
    assert (few["arithmetic"], few["draws"], few["pictures"]) == ("float", 4, 24)
    assert few["compare_bits"].keys() == few["all_bits"].keys()
    assert min(few["compare_bits"].values()) < min(few["all_bits"].values())


def test_fixed_point_loses_alike(subject: Subject) -> None:
    artifact, pictures = subject.with_bits(3), random_pictures(subject.artifact.public.graph.input.shape, 24, 1)
    labels = few_bits._labels(artifact, pictures, None, False)
    kept = [
        np.mean([(few_bits._labels(artifact, pictures, draw, fixed) == labels).mean() for draw in range(40)])
        for fixed in (False, True)
    ]
    assert kept[0] == pytest.approx(kept[1], abs=0.08)
    assert kept[0] < 1


def test_bytes_fall_with_the_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(few_bits, "default_cache", lambda: tmp_path)
    found: dict[tuple[str, Any], Any] = {
        (sample["backend"], sample["bits"]): sample for sample in cost_samples("resnet18:m=1,size=8", ("full", 8, 4))
    }
    assert {backend for backend, _ in found} == {"fss", "gmw", "gc", "table", "crypten"}
    assert ("table", "full") not in found  # more bits than it compares
    for key in ("offline_bytes", "stored_server_bytes", "stored_client_bytes", "online_bytes"):
        few, some, every = (found["fss", bits][key] for bits in (4, 8, "full"))
        assert few <= some
        assert (some <= every) == (key != "online_bytes")  # signs have a mask of their own, which is sent
        assert found["gmw", 4][key] == pytest.approx(found["gmw", "full"][key], rel=1e-2)  # one layer's range is wider
    assert found["table", 4]["offline_bytes"] < found["table", 8]["offline_bytes"]
    assert found["fss", 8]["dealt_bytes"] == found["fss", 8]["offline_bytes"]
    assert found["table", 8]["dealt_bytes"] == 0
