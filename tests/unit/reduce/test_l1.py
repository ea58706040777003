"""L1 filter pruning: the published layer widths, what budgets can be reached, and that pruned equals masked."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from reductions import MakeTask
from torch import nn
from torch.func import functional_call

from pi_system.errors import ConfigError
from pi_system.reduce import L1Filters, RandomMask
from pi_system.reduce.filters import CRITERIA, Pruning, ranking
from pi_system.reduce.l1 import shares_of
from pi_system.train import ReluMap, ResNet, build_network
from pi_system.train.channels import channels_of, masked_weights


def _resnet56() -> Any:
    return ResNet((16, 32, 64), (9, 9, 9), in_channels=1, classes=10, size=8)


# Of the code of Liu et al.: rates by stage and convolutions left out, counted from 1 with the stem.
_PUBLISHED = {
    "A": ("10,10,10", (16, 20, 38, 54), 0.1, (14, 28, 57)),
    "B": ("60,30,10", (16, 18, 20, 34, 38, 54), 0.6, (6, 22, 57)),
}


@pytest.mark.parametrize("variant", _PUBLISHED)
def test_resnet56_has_the_published_widths(make_task: MakeTask, variant: Any) -> None:
    ratios, skipped, ratio, widths = _PUBLISHED[variant]
    network = _resnet56()
    task = replace(make_task(1000), network=network)
    channels = channels_of(network)
    main = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and "shortcut" not in n]
    skip = ",".join(main[number - 1] for number in skipped)
    rankings = [ranking(network, group, "l1") for group in channels.groups]
    shares = shares_of(task, channels, "inner", ratios, skip)
    sizes = Pruning.of(network, channels, rankings, shares).sizes(ratio)
    found = {group.writers[0]: size for group, size in zip(channels.groups, sizes, strict=True)}
    for number, name in enumerate(main, start=1):
        stage = min((number - 2) // 18, 2) if number > 1 else 0
        if number % 2 == 0:  # the first convolution of a block
            assert found[name] == ((16, 32, 64)[stage] if number in skipped else widths[stage])
        elif name in found:
            assert found[name] == (16, 32, 64)[stage]


def test_the_least_filters_go() -> None:
    network = _three_filters()
    channels = channels_of(network)
    (group,) = channels.groups
    assert ranking(network, group, "l1").tolist() == [2, 0, 1]


def _three_filters() -> Any:
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    network[0].weight.data[:] = torch.tensor([-2.0, 1.0, 3.0])[:, None, None, None]  # type: ignore[operator]
    return network


def test_criteria_by_hand() -> None:
    filters = torch.tensor([[0.0, 0.0], [3.0, -4.0], [0.0, 1.0]])
    assert CRITERIA["l1"](filters).tolist() == [0, 7, 1]
    assert CRITERIA["l2"](filters).tolist() == [0, 5, 1]
    far = 34**0.5
    assert torch.allclose(CRITERIA["gm"](filters), torch.tensor([6.0, 5.0 + far, 1.0 + far]), atol=1e-5)


@pytest.mark.parametrize("network", ["resnet18:m=4", "wrn-16-2:m=2", "vgg16:m=2", "resnet50:m=1"])
def test_pruned_equals_masked_before_finetuning(make_task: MakeTask, network: Any) -> None:
    task = make_task(1, network, epochs=0)
    task = replace(task, budget=ReluMap.of(task.network).count // 2)
    result = L1Filters().reduce(task)
    channels = channels_of(task.network)
    masks = []
    for group in channels.groups:
        kept, size = result.report["filters"][group.writers[0]]
        assert size == group.size
        masks.append(torch.zeros(size).index_fill(0, ranking(task.network, group, "l1")[:kept], 1.0))
    x = torch.randn(4, 1, 8, 8)
    task.network.eval()
    expected = functional_call(task.network, masked_weights(task.network, channels, masks), (x,))
    assert torch.allclose(result.network.eval()(x), expected, atol=1e-4)
    assert result.spec.filters


def test_the_ratio_is_the_smallest_within_the_budget(make_task: MakeTask) -> None:
    network = make_task(1, "resnet18:m=4").network
    channels = channels_of(network)
    rankings = [ranking(network, group, "l1") for group in channels.groups]
    pruning = Pruning.of(network, channels, rankings, [1.0] * len(rankings))
    for budget in (2175, 1500, 700, 450):
        ratio = pruning.ratio(budget)
        before = pruning.steps[pruning.steps.index(ratio) - 1]
        assert pruning.relus(pruning.sizes(ratio)) <= budget < pruning.relus(pruning.sizes(before))


def test_inner_pruning_keeps_the_relus_after_additions(make_task: MakeTask) -> None:
    task = make_task(100, "resnet18:m=4", epochs=0)
    streams = 3 * 4 * 64 + 2 * 8 * 16 + 2 * 16 * 4 + 2 * 32
    least = streams + 2 * (64 + 16 + 4 + 1)
    with pytest.raises(ConfigError, match=f"expected at least {least} ReLUs, .* 8 of 12 groups"):
        L1Filters(where="inner").reduce(task)
    result = L1Filters(where="inner").reduce(replace(task, budget=least))
    assert result.relu_map.count == least


def test_a_reduced_map_stays_reduced(make_task: MakeTask) -> None:
    once = RandomMask().reduce(make_task(600, "resnet18:m=4", epochs=0))
    task = replace(make_task(400, "resnet18:m=4", epochs=0), network=once.network)
    result = L1Filters().reduce(task)
    assert 0 < result.relu_map.count <= 400
    again = L1Filters().reduce(replace(task, spec=result.spec, network=result.network, budget=250))
    assert 0 < again.relu_map.count <= 250
    build_network(again.spec).load_state_dict(again.network.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": "outer"}, "expected all or inner"),
        ({"ratios": "60,30"}, "a rate for each of 4 stages"),
        ({"ratios": "a,b,c,d"}, "a rate for each of 4 stages"),
        ({"ratios": "nan,1,1,1"}, "a rate for each of 4 stages"),
        ({"ratios": "1,inf,1,1"}, "a rate for each of 4 stages"),
        ({"skip": "conv9, stem_conv"}, r"some of stem_conv, .*, fc; found conv9"),
    ],
)
def test_options_that_do_not_fit_are_refused(make_task: MakeTask, options: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        L1Filters(**options).reduce(make_task(100))
