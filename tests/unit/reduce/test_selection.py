from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_system.errors import ConfigError
from pi_system.reduce.selection import check_reachable, select_best, select_in_layers
from pi_system.reduce.senet import share_budget
from pi_system.train.relu import MaskedReLU


def _scores(seed: int, shapes: Any) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return {f"l{k}": torch.rand(shape, generator=generator) for k, shape in enumerate(shapes)}


@given(budget=st.integers(0, 60), seed=st.integers(0, 100), density=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=30)
def test_pixels_fill_the_budget_with_the_best(budget: Any, seed: int, density: Any) -> None:
    scores = _scores(seed, [(2, 3, 3), (4, 2, 2)])
    allowed = {
        name: torch.rand(s.shape, generator=torch.Generator().manual_seed(seed + 1)) < density
        for name, s in scores.items()
    }
    kept = select_best(scores, allowed, budget)
    available = sum(int(mask.sum()) for mask in allowed.values())
    assert sum(int(mask.sum()) for mask in kept.values()) == min(budget, available)
    assert all(not (kept[name] & ~allowed[name]).any() for name in kept)
    chosen = torch.cat([scores[n][kept[n]] for n in kept])
    left = torch.cat([scores[n][allowed[n] & ~kept[n]] for n in kept])
    if len(chosen) and len(left):
        assert chosen.min() >= left.max()


def test_channels_are_taken_whole_and_smaller_ones_fill_what_is_left() -> None:
    scores = {"a": torch.tensor([0.9, 0.8])[:, None, None], "b": torch.tensor([0.7, 0.1])[:, None, None]}
    allowed = {"a": torch.ones(2, 4, 4, dtype=torch.bool), "b": torch.ones(2, 2, 2, dtype=torch.bool)}
    kept = select_best(scores, allowed, 21)
    assert [int(kept["a"][0].sum()), int(kept["a"][1].sum()), int(kept["b"][0].sum())] == [16, 0, 4]
    assert sum(int(mask.sum()) for mask in kept.values()) == 20


def test_a_channel_one_over_the_budget_is_left() -> None:
    scores = {"a": torch.tensor([0.9, 0.8])[:, None, None]}
    allowed = {"a": torch.ones(2, 2, 2, dtype=torch.bool)}
    kept = [int(select_best(scores, allowed, budget)["a"].sum()) for budget in (3, 4, 7, 8)]
    assert kept == [0, 4, 4, 8]


def test_layers_keep_their_own_budgets() -> None:
    scores = _scores(0, [(2, 3, 3), (4, 2, 2)])
    allowed = {name: torch.ones(s.shape, dtype=torch.bool) for name, s in scores.items()}
    kept = select_in_layers(scores, allowed, {"l0": 3, "l1": 5})
    assert {name: int(mask.sum()) for name, mask in kept.items()} == {"l0": 3, "l1": 5}


def test_least_budget_is_one_entry() -> None:
    relus = {"a": MaskedReLU((2, 4, 4), stage=1, block=0), "b": MaskedReLU((2, 2, 2), stage=1, block=0)}
    check_reachable(relus, "channel", 4)
    with pytest.raises(ConfigError, match="expected at least 4 ReLUs"):
        check_reachable(relus, "channel", 3)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), st.sampled_from([1, 4])), min_size=1, max_size=6),
    st.integers(0, 400),
)
@settings(max_examples=60)
def test_shared_budgets_are_within_their_layers_and_the_total(layers: Any, budget: Any) -> None:
    active = {f"l{k}": blocks * unit for k, (_, blocks, unit) in enumerate(layers)}
    unit = {f"l{k}": unit for k, (_, _, unit) in enumerate(layers)}
    shares = share_budget({f"l{k}": s for k, (s, _, _) in enumerate(layers)}, active, unit, budget)
    assert all(0 <= shares[name] <= active[name] and shares[name] % unit[name] == 0 for name in active)
    total = sum(shares.values())
    assert total <= budget
    smallest = [unit[name] for name in active if shares[name] < active[name]]
    assert not smallest or budget - total < min(smallest)


def test_shares_follow_sensitivity_and_full_layers_pass_on_the_rest() -> None:
    shares = share_budget({"a": 0.5, "b": 0.25, "c": 0.25}, {"a": 10, "b": 100, "c": 100}, {"a": 1, "b": 1, "c": 1}, 60)
    assert shares == {"a": 10, "b": 25, "c": 25}
