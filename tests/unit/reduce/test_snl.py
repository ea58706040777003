"""SNL's schedules: lambda's rule, exact budgets, epochs."""

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.reduce import Snl
from pi_system.reduce.indicators import SoftIndicator
from pi_system.reduce.snl import _Lasso
from pi_system.train import MaskedReLU


def _indicator():
    return SoftIndicator(MaskedReLU((2, 2, 2), stage=1, block=0), "pixel")


def test_lambda_grows_only_when_the_count_stops_falling():
    indicator = _indicator()
    lasso = _Lasso({"a": indicator}, budget=2, start=1.0, growth=1.1)
    weights = []
    for alive in (8, 8, 8, 8, 8, 7, 7, 2):
        with torch.no_grad():
            indicator.alpha.view(-1)[:] = torch.where(torch.arange(8) < alive, 0.5, 0.005)
        ended = lasso.after_epoch()
        weights.append(round(float(lasso.weight), 3))
        assert ended == (alive <= 2)
    assert weights == [1, 1, 1, 1, 1.1, 1.1, 1.21, 1.21]  # not before the fifth epoch, not after a new minimum


def test_penalty_is_lambda_times_the_sum_of_alphas():
    indicator = _indicator()
    with torch.no_grad():
        indicator.alpha[:] = -0.5
    assert float(_Lasso({"a": indicator}, budget=2, start=0.1, growth=1.1).extra_loss().detach()) == pytest.approx(0.4)


def test_lasso_stops_within_its_budget_and_fills_it_exactly(make_task):
    task = make_task(800, epochs=1)
    method = Snl(schedule="lasso", lasso_start=0.01, lasso_growth=1.5, search_rate=0.05, search_epochs=40)
    result = method.reduce(task)
    assert result.relu_map.count == 800
    assert result.report["search_epochs"] < 40
    assert result.report["relus_above_threshold"] <= 800


def test_search_takes_its_share_of_the_epochs(make_task):
    result = Snl(search=0.25).reduce(make_task(100, epochs=4))
    assert (result.report["search_epochs"], len(result.fitted.history)) == (1, 3)


def test_bad_options_are_refused(make_task):
    for bad in ({"schedule": "slow"}, {"granularity": "row"}, {"search": 2.0}):
        with pytest.raises(ConfigError, match="expected"):
            Snl(**bad).reduce(make_task(100))
