"""SNL's Algorithm 1: lambda's rule, the objective, exact budgets, the authors' schedule."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from reductions import MakeTask

from pi_system.errors import ConfigError
from pi_system.reduce import Snl
from pi_system.reduce.indicators import SoftIndicator
from pi_system.reduce.options import read_options
from pi_system.reduce.presets import preset_of
from pi_system.reduce.snl import _Lasso
from pi_system.train import MaskedReLU, TrainConfig


def _indicator() -> Any:
    return SoftIndicator(MaskedReLU((2, 2, 2), stage=1, block=0), "pixel")


def test_lambda_grows_from_the_sixth_epoch_when_the_count_stops_falling() -> None:
    indicator = _indicator()
    lasso = _Lasso({"a": indicator}, budget=2, start=1.0, growth=1.1)
    weights = []
    for alive in (8, 8, 8, 8, 8, 8, 7, 7, 2):
        with torch.no_grad():
            indicator.alpha.view(-1)[:] = torch.where(torch.arange(8) < alive, 0.5, 0.005)
        ended = lasso.after_epoch()
        weights.append(round(float(lasso.weight), 3))
        assert ended == (alive <= 2)
    assert weights == [1, 1, 1, 1, 1, 1.1, 1.1, 1.21, 1.21]  # not after a new minimum


def test_penalty_is_lambda_times_the_sum_of_alphas() -> None:
    indicator = _indicator()
    with torch.no_grad():
        indicator.alpha[:] = -0.5
    assert float(_Lasso({"a": indicator}, budget=2, start=0.1, growth=1.1).extra_loss().detach()) == pytest.approx(0.4)


def test_a_negative_alpha_is_not_counted_as_a_relu() -> None:
    indicator = _indicator()
    with torch.no_grad():
        indicator.alpha.view(-1)[:] = torch.tensor([0.5, 0.011, 0.009, 0.0, -0.5, -1.0, 1.0, 0.02])
    assert _Lasso({"a": indicator}, budget=2, start=0.1, growth=1.1).count() == 4


def test_search_stops_within_its_budget_and_fills_it_exactly(make_task: MakeTask) -> None:
    task = make_task(800, epochs=1)
    result = Snl(lasso_start=0.01, lasso_growth=1.5, search_rate=0.05, search_epochs=40).reduce(task)
    assert result.relu_map.count == 800
    assert result.report["search_epochs"] < 40
    assert result.report["relus_above_threshold"] <= 800
    assert len(result.fitted.history) == 1


def test_the_history_of_the_search_has_its_trajectory(make_task: MakeTask) -> None:
    seen: list[Any] = []
    task = replace(make_task(800, epochs=1), on_epoch=lambda history: seen.extend(history[-1:]))
    result = Snl(lasso_start=0.01, lasso_growth=1.5, search_rate=0.05, search_epochs=40).reduce(task)
    search = [entry for entry in seen if entry["phase"] == "search"]
    assert len(search) == result.report["search_epochs"]
    assert search[0]["relus"] > 800 >= search[-1]["relus"] == result.report["relus_above_threshold"]
    assert search[-1]["lambda"] == result.report["lambda"]
    assert "relus" not in seen[-1]  # of the finetuning


def test_the_paper_preset_is_the_authors_schedule() -> None:
    preset = preset_of(Snl, "paper")
    config = TrainConfig(**preset.recipe)
    assert (config.epochs, config.learning_rate, config.weight_decay, config.momentum) == (100, 1e-3, 5e-4, 0.9)
    assert (config.batch_size, config.schedule, config.nesterov, config.distill_temperature) == (
        128,
        "cosine",
        False,
        4,
    )
    method = Snl(**read_options(Snl, preset.options))
    assert (method.lasso_start, method.lasso_growth, method.search_rate, method.search_epochs) == (
        1e-5,
        1.1,
        1e-3,
        2000,
    )


def test_search_trains_with_adam_without_decay_at_a_constant_rate(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = torch.optim.Adam.__init__

    def note(self: Any, params: Any, **settings: Any) -> None:
        seen.append(settings)
        original(self, params, **settings)

    monkeypatch.setattr(torch.optim.Adam, "__init__", note)
    Snl(search_epochs=1, search_rate=2e-3).reduce(make_task(800, epochs=1))
    assert [(one["lr"], one["weight_decay"]) for one in seen] == [(2e-3, 0.0)]


def test_bad_options_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Snl(granularity="row").reduce(make_task(100))
