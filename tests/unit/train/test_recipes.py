"""Recipes: how the rate goes, what decays, what is averaged; each resumes bit for bit."""

import copy
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pi_system.errors import ConfigError
from pi_system.train import DataSet, Interrupted, ResNet, TrainConfig, evaluate, fit
from pi_system.train.average import WeightAverage
from pi_system.train.presets import PLAIN_PRESETS, recipe_of
from pi_system.train.schedule import learning_rates, make_optimizer

_CONFIG = TrainConfig(epochs=2, batch_size=64, learning_rate=0.1, device="cpu")


def _rates(steps: int = 100, **changes: Any) -> Any:
    return learning_rates(replace(_CONFIG, learning_rate=1.0, **changes), steps)


def test_one_cycle_peaks_where_it_says_and_ends_near_zero() -> None:
    rates = _rates(schedule="onecycle", warmup=0.2)
    assert (max(rates), rates.index(max(rates))) == (1.0, 19)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert rates[-1] < 1e-5


def test_multistep_falls_at_its_milestones() -> None:
    rates = _rates(schedule="multistep", milestones=[0.5, 0.75], drop=0.1)
    assert rates == pytest.approx([1.0] * 50 + [0.1] * 25 + [0.01] * 25)


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.00025), ("constant", 1.0), ("multistep", 0.01)])
def test_warm_up_rises_linearly_and_changes_nothing_after(schedule: str, end: float) -> None:
    rates = _rates(schedule=schedule, warmup=0.2)
    assert rates[:21] == pytest.approx([1e-3 + (1 - 1e-3) * k / 20 for k in range(21)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(end, abs=4e-4)


def test_cosine_is_the_formula() -> None:
    expected = [0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * k / 50)))) for k in range(50)]
    assert _rates(50) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 7])
def test_short_runs_have_a_rate_for_every_step(steps: int) -> None:
    for schedule in ("onecycle", "cosine", "multistep", "constant"):
        rates = _rates(steps, schedule=schedule, warmup=0.2)
        assert len(rates) == steps
        assert all(0 <= rate <= 1 for rate in rates)


def test_biases_and_normalisation_do_not_decay_where_only_weights_do(tiny: ResNet) -> None:
    before = copy.deepcopy(tiny.state_dict())
    for parameter in tiny.parameters():
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(tiny, replace(_CONFIG, decay="weights", weight_decay=0.5)).step()
    for name, parameter in tiny.named_parameters():
        changed = not torch.equal(parameter, before[name])
        assert changed == (parameter.dim() >= 2), name
    make_optimizer(tiny, replace(_CONFIG, weight_decay=0.5)).step()
    assert not torch.equal(tiny.state_dict()["stem_bn.weight"], before["stem_bn.weight"])


def test_momentum_is_nesterovs_or_not(tiny: ResNet) -> None:
    for nesterov in (True, False):
        (group,) = make_optimizer(tiny, replace(_CONFIG, nesterov=nesterov)).param_groups
        assert group["nesterov"] == nesterov


def test_average_is_the_recursion() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2d(2))
    average = WeightAverage(network, 0.9)
    expected = {name: value.clone() for name, value in average.values.items()}
    assert set(expected) == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    for done in range(1, 200):
        with torch.no_grad():
            network[0].weight.add_(0.1)  # type: ignore[operator]
        average.update(done)
        decay = min(0.9, (1 + done) / (10 + done))
        expected["0.weight"] = decay * expected["0.weight"] + (1 - decay) * network[0].weight.detach()  # type: ignore[operator]
    assert torch.allclose(average.values["0.weight"], expected["0.weight"], atol=1e-4)
    own = network[0].weight.detach().clone()  # type: ignore[operator]
    with average.applied():
        assert torch.equal(network[0].weight, average.values["0.weight"])  # type: ignore[arg-type]
    assert torch.equal(network[0].weight, own)  # type: ignore[arg-type]


def test_the_average_is_what_is_validated_and_kept(tiny: ResNet, digits: DataSet) -> None:
    plain, averaged = copy.deepcopy(tiny), copy.deepcopy(tiny)
    fit(plain, digits, _CONFIG, keep="last")
    result = fit(averaged, digits, replace(_CONFIG, ema=0.9), keep="last")
    assert not torch.equal(plain.fc.weight, averaged.fc.weight)
    assert evaluate(averaged, digits.validation, digits.preprocess) == result.validation


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "onecycle", "warmup": 0.3, "decay": "weights", "crop": "reflect", "label_smoothing": 0.1},
        {"schedule": "multistep", "warmup": 0.1, "nesterov": False},
        {"ema": 0.99},
        {"ema": 0.99, "optimizer": "adam", "decay": "weights"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_stopped_run_goes_on_bit_by_bit_in_the_middle_of_an_epoch(
    tiny: ResNet, digits: DataSet, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(_CONFIG, epochs=3, learning_rate=0.02, **changes)
    whole, stopped, resumed = (copy.deepcopy(tiny) for _ in range(3))
    expected = fit(whole, digits, config)
    with pytest.raises(Interrupted, match="epoch 2, saved"):
        fit(stopped, digits, config, checkpoint=tmp_path / "c", on_epoch=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    found = fit(resumed, digits, config, checkpoint=tmp_path / "c")
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    assert [entry["train_loss"] for entry in found.history] == [entry["train_loss"] for entry in expected.history]


def test_presets_are_recipes_that_options_change() -> None:
    for name in PLAIN_PRESETS:
        assert recipe_of(PLAIN_PRESETS, name, {"epochs": 3}).epochs == 3
    fast = recipe_of(PLAIN_PRESETS, "fast", {})
    assert (fast.schedule, fast.warmup, fast.learning_rate, fast.nesterov) == ("onecycle", 0.2, 0.2, True)
    assert (fast.batch_size, fast.decay, fast.crop, fast.label_smoothing, fast.epochs) == (
        64,
        "weights",
        "reflect",
        0.05,
        8,
    )
    with pytest.raises(ConfigError, match="preset: expected one of fast, small, paper; found 'slow'"):
        recipe_of(PLAIN_PRESETS, "slow", {})


@pytest.mark.parametrize(
    "bad",
    [
        {"schedule": "onecycle"},
        {"schedule": "warp"},
        {"warmup": 1.0},
        {"ema": 1.0},
        {"milestones": [0.7, 0.5]},
        {"milestones": [1.0]},
        {"decay": "none"},
        {"crop": "wrap"},
        {"drop": 0.0},
    ],
)
def test_bad_recipes_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        replace(_CONFIG, **bad)
