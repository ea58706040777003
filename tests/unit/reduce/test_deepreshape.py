from dataclasses import replace
from typing import Any

import pytest
from reductions import MakeTask

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce import DeepReShape
from pi_system.train import ReluMap, build_network
from pi_system.train.counting import count_network


def test_high_budgets_keep_all_relus_of_a_wide_network(make_task: MakeTask) -> None:
    spec, steps = DeepReShape(least_width=1).design(make_task(2000, "resnet18:m=4"))
    # 5x5x3x has 1,340 ReLUs for each m on pictures of 8 x 8: m = 1 is all that fits, if that is of use.
    assert (str(spec).partition(",")[0], steps) == ("hrn-5x5x3x:m=1", "none")


def test_networks_too_narrow_to_be_of_use_are_refused_with_the_least(make_task: MakeTask) -> None:
    with pytest.raises(BudgetError, match=r"least 5360 ReLUs, those of hrn-5x5x3x:m=4.*stride=2") as found:
        DeepReShape(base="hrn-5x5x3x", steps="none").design(make_task(2000, "resnet18:m=4"))
    assert found.value.least == 4 * 1340
    assert DeepReShape(least_width=1).design(make_task(2000, "resnet18:m=4"))[0].m == 1


def test_a_high_budget_is_not_refused_where_a_low_one_is_met(make_task: MakeTask) -> None:
    for budget in (1000, 2000):
        spec, steps = DeepReShape().design(make_task(budget, "resnet18:m=4"))
        assert (spec.base, spec.m >= 4, steps) == ("hrn-2x5x3x", True, "cull+thin")
    for budget in (100, 300):
        with pytest.raises(BudgetError) as found:
            DeepReShape().design(make_task(budget, "resnet18:m=1"))
        assert found.value.least == 4 * 204


@pytest.mark.parametrize(
    ("options", "budget", "m", "relus"),
    [
        # Per m and layer, on 8 x 8: stage 1 64, 2 2*16=32, 3 10*4=40, 4 30*1=30; two blocks of two layers, a stem.
        ({}, 1000, 4, 4 * 2 * (32 + 40 + 30)),
        ({"steps": "cull"}, 1000, 2, 2 * 4 * (32 + 40 + 30)),
        ({"steps": "thin"}, 1000, 2, 2 * (64 + 2 * (64 + 32 + 40 + 30))),
        ({"steps": "none"}, 1000, 1, 64 + 4 * (64 + 32 + 40 + 30)),
        ({"reuse": 2, "wiring": "pass"}, 1000, 9, None),
        ({"reuse": 2}, 1000, 9, None),
        ({"reuse": 4}, 1000, 19, None),
        ({"stride": 2}, 1000, 10, 10 * 2 * (2 * 4 + 10 + 30)),
    ],
)
def test_width_follows_from_the_budget(
    make_task: MakeTask, options: dict[str, Any], budget: int, m: int, relus: int | None
) -> None:
    task = make_task(budget, "resnet18:m=4", epochs=0)
    result = DeepReShape(base="hrn-2x5x3x", least_width=1, **options).reduce(task)
    assert result.spec.m == m
    assert result.relu_map.count == (relus or result.relu_map.count) <= budget


@pytest.mark.parametrize("wiring", ["add", "pass"])
def test_reuse_keeps_the_last_group_of_channels(make_task: MakeTask, wiring: str) -> None:
    result = DeepReShape(reuse=4, wiring=wiring).reduce(make_task(900, "resnet18:m=4", epochs=0))
    assert result.spec.reuse == (4 if wiring == "add" else 1)
    kept = {name: mask for name, mask in ReluMap.of(result.network) if mask.any()}
    assert kept
    for mask in kept.values():
        group = max(mask.shape[0] // 4, 1)
        assert mask[-group:].all()
        assert not mask[:-group].any()


@pytest.mark.parametrize("groups", [2, 4])
def test_dropping_the_other_groups_is_the_same_budget_without_reuse(make_task: MakeTask, groups: int) -> None:
    task = make_task(1000, "resnet18:m=4")
    wide, _ = DeepReShape(reuse=groups, least_width=1).design(task)
    narrow, _ = DeepReShape(least_width=1).design(task)
    assert wide.m // groups == narrow.m
    assert mac_ratio(wide, narrow) > groups**2 * 0.8


def mac_ratio(wide: Any, narrow: Any) -> Any:
    first, second = (count_network(build_network(spec, device="meta"), (1, 8, 8)).macs for spec in (wide, narrow))
    return first / second


def test_the_width_is_the_largest_within_the_budget(make_task: MakeTask) -> None:
    for reuse in (1, 2, 3, 5):
        for budget in (400, 1000, 1717):
            method = DeepReShape(reuse=reuse, least_width=1)
            spec, steps = method.design(make_task(budget, "resnet18:m=4"))
            counts = [method._count(replace(spec, m=m), steps) for m in (spec.m, spec.m + 1)]
            assert counts[0] <= budget < counts[1]


def test_bad_options_are_refused(make_task: MakeTask) -> None:
    for bad in ({"steps": "chop"}, {"reuse": 0}, {"base": "vgg99"}):
        with pytest.raises(ConfigError, match="expected"):
            DeepReShape(**bad).design(make_task(100))
