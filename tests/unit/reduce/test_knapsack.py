from itertools import product
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_system.reduce import knapsack
from pi_system.reduce.knapsack import choose

_OPTION = st.tuples(st.integers(0, 20), st.integers(-10, 30))
_GROUPS = st.lists(st.lists(_OPTION, min_size=1, max_size=4), min_size=1, max_size=5)


def _sums(groups: Any, chosen: Any) -> Any:
    return [sum(group[place][axis] for group, place in zip(groups, chosen, strict=True)) for axis in (0, 1)]


@given(_GROUPS, st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_no_other_choice_within_the_budget_gains_more(groups: Any, budget: Any) -> None:
    every = [_sums(groups, places) for places in product(*(range(len(group)) for group in groups))]
    fitting = [gain for cost, gain in every if cost <= budget]
    found = choose(groups, budget)
    if not fitting:
        assert found is None
    else:
        cost, gain = _sums(groups, found)
        assert cost <= budget
        assert gain == max(fitting)


def test_a_large_problem_is_thinned_and_stays_within_the_budget(monkeypatch: Any) -> None:
    rng = np.random.default_rng(1)
    groups = [[(0.0, 0.0), *zip(rng.random(6), rng.random(6), strict=True)] for _ in range(12)]
    exact = _sums(groups, choose(groups, 3.0))
    monkeypatch.setattr(knapsack, "_STATES", 64)
    cost, gain = _sums(groups, choose(groups, 3.0))
    assert cost <= 3.0
    assert 0.95 * exact[1] < gain <= exact[1]
