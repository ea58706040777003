import copy
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError, InputError
from pi_system.train import DataSet, Interrupted, ResNet, TrainConfig, evaluate, fit
from pi_system.train.data import ImageSet
from pi_system.train.data.augment import Normalisation

_CONFIG = TrainConfig(epochs=4, batch_size=32, learning_rate=0.2, device="cpu")


@pytest.fixture
def tiny() -> ResNet:
    torch.manual_seed(1)
    return ResNet((8, 16), (1, 1), in_channels=1, classes=10, size=8)


def _equal(first: Any, second: Any) -> bool:
    return all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_training_learns_and_keeps_the_best_epoch(tiny: ResNet, digits: DataSet) -> None:
    result = fit(tiny, digits, replace(_CONFIG, epochs=6, augment=False))
    best = max(entry["validation_accuracy"] for entry in result.history)
    assert result.history[-1]["train_loss"] < 0.7 * result.history[0]["train_loss"]
    assert result.validation.accuracy == best > 0.5
    assert evaluate(tiny, digits.validation, digits.preprocess).accuracy == best
    assert result.history[result.best_epoch - 1]["validation_accuracy"] == best


def test_same_seed_same_weights(tiny: ResNet, digits: DataSet) -> None:
    first, second, other = (copy.deepcopy(tiny) for _ in range(3))
    fit(first, digits, _CONFIG)
    fit(second, digits, _CONFIG)
    fit(other, digits, replace(_CONFIG, seed=1))
    assert _equal(first, second)
    assert not _equal(first, other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_goes_on_bit_by_bit(tiny: ResNet, digits: DataSet, tmp_path: Path, number: signal.Signals) -> None:
    whole, stopped, resumed = (copy.deepcopy(tiny) for _ in range(3))
    expected = fit(whole, digits, _CONFIG)
    handler = signal.getsignal(number)
    with pytest.raises(Interrupted, match="epoch 2, saved"):  # asked after epoch 1, seen after the next step
        fit(stopped, digits, _CONFIG, checkpoint=tmp_path / "c", on_epoch=lambda _: os.kill(os.getpid(), number))
    assert signal.getsignal(number) is handler
    found = fit(resumed, digits, _CONFIG, checkpoint=tmp_path / "c")
    assert _equal(whole, resumed)
    assert [e["train_loss"] for e in found.history] == [e["train_loss"] for e in expected.history]


def test_killed_run_goes_on_from_its_last_epoch(tiny: ResNet, digits: DataSet, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(history: Any) -> None:
        if len(history) == 2:
            raise Killed

    whole, killed, resumed = (copy.deepcopy(tiny) for _ in range(3))
    fit(whole, digits, _CONFIG)
    with pytest.raises(Killed):
        fit(killed, digits, _CONFIG, checkpoint=tmp_path / "c", on_epoch=kill)
    seen = []
    fit(resumed, digits, _CONFIG, checkpoint=tmp_path / "c", on_epoch=lambda history: seen.append(len(history)))
    assert seen == [3, 4]
    assert _equal(whole, resumed)


def test_checkpoint_of_another_run_is_refused(tiny: ResNet, digits: DataSet, tmp_path: Path) -> None:
    fit(copy.deepcopy(tiny), digits, _CONFIG, checkpoint=tmp_path / "c")
    with pytest.raises(ConfigError, match=r"expected a run with learning_rate=0\.1; found 0\.2"):
        fit(tiny, digits, replace(_CONFIG, learning_rate=0.1), checkpoint=tmp_path / "c")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:-9])
    with pytest.raises(InputError, match="expected a training checkpoint"):
        fit(tiny, digits, _CONFIG, checkpoint=tmp_path / "c")


def test_distillation_follows_the_teacher_even_where_it_is_wrong(tiny: ResNet, digits: DataSet) -> None:
    wrong = ImageSet(digits.train.images, (digits.train.labels + 1) % 10)
    unseen = ImageSet(digits.validation.images, (digits.validation.labels + 1) % 10)
    teacher = copy.deepcopy(tiny)
    fit(teacher, replace(digits, train=wrong, validation=unseen), replace(_CONFIG, epochs=6))
    frozen = copy.deepcopy(teacher)
    x = Normalisation.of(digits.preprocess, torch.device("cpu"))(digits.train.images)
    agreement = []
    for weight in (0.0, 1.0):
        student = copy.deepcopy(tiny)
        config = replace(_CONFIG, epochs=6, learning_rate=0.1, distill_weight=weight)
        fit(student, replace(digits, validation=unseen), config, teacher=teacher)
        with torch.inference_mode():
            agreement.append(float((student(x).argmax(1) == teacher(x).argmax(1)).float().mean()))
    assert agreement[0] < 0.2
    assert agreement[1] > 0.5
    assert _equal(teacher, frozen)


def test_bfloat16_trains_float32_weights(tiny: ResNet, digits: DataSet) -> None:
    result = fit(tiny, digits, replace(_CONFIG, epochs=3, precision="bfloat16"))
    assert tiny.fc.weight.dtype == torch.float32
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_divergence_is_a_clear_error(tiny: ResNet, digits: DataSet) -> None:
    with pytest.raises(ConfigError, match="expected a finite loss"):
        fit(tiny, digits, replace(_CONFIG, learning_rate=1e30))


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": -1},
        {"epochs": 1, "batch_size": 1},
        {"epochs": 1, "learning_rate": 0.0},
        {"epochs": 1, "learning_rate": float("nan")},
        {"epochs": 1, "momentum": 1.0},
        {"epochs": 1, "precision": "int8"},
        {"epochs": 1, "seed": 1 << 32},
    ],
)
def test_bad_recipes_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        TrainConfig(**bad)
