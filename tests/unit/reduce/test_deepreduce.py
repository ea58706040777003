"""DeepReDuce: counts of the paper's configurations, choice within a budget, resuming."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.reduce import DeepReduce, ReductionTask
from pi_system.reduce.configurations import (
    Candidate,
    Configuration,
    Reshaping,
    candidates,
    choose,
    configurations,
    in_order,
    reshapings,
)
from pi_system.train import (
    DataSet,
    Interrupted,
    NetworkSpec,
    ReluMap,
    TrainConfig,
    build_network,
    evaluate,
    named_relus,
)


@pytest.mark.parametrize(
    ("relus", "network", "stages", "thin"),
    [
        (229_376, "resnet18:m=64", (2, 3, 4), False),
        (196_608, "resnet18:m=64", (2, 3), False),
        (114_688, "resnet18:m=64", (2, 3, 4), True),
        (57_344, "resnet18:m=32", (2, 3, 4), True),
        (49_152, "resnet18:m=32", (2, 3), True),
        (28_672, "resnet18:m=16", (2, 3, 4), True),
        (12_288, "resnet18:m=8", (2, 3), True),
        (12_288, "resnet18:m=32,size=16", (2, 3), True),  # the same by smaller feature maps
    ],
)
def test_counts_of_the_papers_configurations(relus: int, network: str, stages: tuple[int, ...], thin: bool) -> None:
    built = build_network(NetworkSpec.parse(network), seed=0)
    assert Configuration(stages, thin).relu_map(built).count == relus


@pytest.mark.parametrize(
    ("budget", "network", "stages", "thin"),
    [
        (229_376, "resnet18:m=64", [2, 3, 4], False),
        (114_688, "resnet18:m=64", [2, 3, 4], True),
        (57_344, "resnet18:m=32", [2, 3, 4], True),
        (49_152, "resnet18:m=32", [2, 3], True),
        (28_672, "resnet18:m=16", [2, 3, 4], True),
        (12_288, "resnet18:m=32,stride=2", [2, 3], True),
    ],
)
def test_the_three_steps_reach_the_published_counts(budget: int, network: str, stages: list[int], thin: bool) -> None:
    spec = NetworkSpec.parse("resnet18:m=64")
    source = build_network(spec, device="meta")
    chosen = choose(in_order(candidates(spec, source, reshapings(spec), configurations((3, 2, 4, 1)))), budget)
    assert chosen.relus == budget
    assert str(chosen.reshaping.of(spec)) == network
    assert (list(chosen.configuration.stages), chosen.configuration.thin) == (stages, thin)


def test_thinning_keeps_the_last_relu_of_each_block() -> None:
    built = build_network(NetworkSpec.parse("resnet18:m=4,size=8"), seed=0)
    kept = Configuration((2, 3), True).relu_map(built)
    active = [name for name, count in kept.counts.items() if count]
    assert active == ["stages.1.0.relu2", "stages.1.1.relu2", "stages.2.0.relu2", "stages.2.1.relu2"]


def test_culling_starts_with_the_least_critical_stage() -> None:
    stages = [c.stages for c in configurations((3, 2, 4, 1)) if not c.thin]
    assert stages == [(1, 2, 3, 4), (2, 3, 4), (2, 3), (3,)]


def _task(data: Any, budget: Any, **settings: Any) -> Any:
    spec = NetworkSpec.parse("resnet18:m=4", **data.context)
    defaults = {"network": build_network(spec, seed=0), "finetune": TrainConfig(epochs=0, device="cpu")}
    return ReductionTask(spec=spec, data=data, budget=budget, **{**defaults, **settings})


# ReLUs of this network by stage: 256 + 1024, 512, 256, 128 (stem with stage 1); in all 2,176.
@pytest.mark.parametrize(
    ("budget", "relus", "stages", "thinned"),
    [
        (2175, 1216, [1, 2, 3, 4], True),
        (1215, 896, [2, 3, 4], False),
        (895, 768, [2, 3], False),
        (448, 448, [2, 3, 4], True),
        (400, 384, [2, 3], True),
        (383, 256, [3], False),
        (128, 128, [3], True),
    ],
)
def test_most_relus_within_the_budget(
    digits: DataSet, budget: int, relus: int, stages: list[int], thinned: bool
) -> None:
    result = DeepReduce(order="3,2,4,1").reduce(_task(digits, budget))
    assert result.relu_map.count == relus
    assert (result.report["stages_kept"], result.report["thinned"]) == (stages, thinned)


def test_impossible_budgets_are_refused_before_any_training(digits: DataSet) -> None:
    slow = TrainConfig(epochs=10_000, device="cpu")
    for method in (DeepReduce(), DeepReduce(order="3,2,4,1")):
        with pytest.raises(ConfigError, match=r"budget: expected at least \d+ ReLUs"):
            method.reduce(_task(digits, 10, finetune=slow))
    for budget in (-1, 2176):
        with pytest.raises(ConfigError, match="below the network's 2176 ReLUs"):
            _task(digits, budget)


def test_bad_orders_are_refused(digits: DataSet) -> None:
    for order in ("3,2,4", "3,2,4,4", "a,b", "1,2,3,5"):
        with pytest.raises(ConfigError, match="order: expected each stage"):
            DeepReduce(order=order).reduce(_task(digits, 500))


def test_a_reduced_network_can_be_reduced_further(digits: DataSet) -> None:
    first = DeepReduce(order="3,2,4,1").reduce(_task(digits, 896))
    again = DeepReduce(order="3,2,4").reduce(_task(digits, 448, network=first.network))
    assert again.relu_map.count == 448
    assert all(not (mask & ~first.relu_map.masks[name]).any() for name, mask in again.relu_map)


def test_criticality_is_measured_and_a_stopped_reduction_resumes(digits: DataSet, tmp_path: Path) -> None:
    seen = []

    def stop_once(history: Any) -> None:
        seen.append(history[-1]["phase"])
        if seen == ["criticality-0", "criticality-1", "criticality-2"]:
            raise Interrupted("stopped")

    task = _task(digits, 448, finetune=TrainConfig(epochs=1, device="cpu"), workdir=tmp_path, on_epoch=stop_once)
    before = copy.deepcopy(task.network.state_dict())
    method = DeepReduce(criticality_epochs=1)
    with pytest.raises(Interrupted):
        method.reduce(task)
    result = method.reduce(task)
    assert seen == [*(f"criticality-{k}" for k in range(5)), "finetune"]  # nothing is trained twice
    measured = result.report["criticality"]
    assert sorted(entry["stage"] for entry in measured) == [1, 2, 3, 4]
    assert {entry["stage"]: entry["relus"] for entry in measured} == {1: 1280, 2: 512, 3: 256, 4: 128}
    values = [entry["criticality"] for entry in measured]
    assert values == sorted(values, reverse=True)
    assert result.relu_map.count <= 448
    assert all(torch.equal(value, before[name]) for name, value in task.network.state_dict().items())
    assert all(relu.active == relu.size for relu in named_relus(task.network).values())


def test_digits_keep_their_accuracy_with_less_than_half_of_the_relus(digits: DataSet, trained: Any) -> None:
    full = ReluMap.of(trained).count
    finetune = TrainConfig(epochs=3, batch_size=32, learning_rate=0.05, device="cpu")
    task = _task(digits, full // 2, network=trained, finetune=finetune)
    result = DeepReduce(order="1,2,3,4").reduce(task)
    assert result.relu_map.count <= full // 2
    assert evaluate(result.network, digits.test, digits.preprocess).accuracy >= 0.88  # 0.90 to 0.92, by the machine


def test_reshaping_reaches_what_culling_and_thinning_do_not(digits: DataSet) -> None:
    with pytest.raises(ConfigError, match="expected at least 128 ReLUs"):
        DeepReduce(order="3,2,4,1").reduce(_task(digits, 90))
    result = DeepReduce(order="3,2,4,1", reshape=True).reduce(_task(digits, 90))
    # m = 2 on 4 x 4: stages 2, 3, 4 thinned have 2 * (4 * 2 * 2 + 8 + 16); a side of 1 is not halved again.
    assert result.relu_map.count == 80
    assert str(result.spec) == "resnet18:m=2,classes=10,size=8,channels=1,stride=2"


def test_what_is_reshaped_was_culled_and_thinned_before() -> None:
    spec = NetworkSpec.parse("resnet18:m=8")
    source = build_network(spec, device="meta")
    found = in_order(candidates(spec, source, reshapings(spec), configurations((3, 2, 4, 1))))
    assert all(c.configuration.thin and len(c.configuration.stages) < 4 for c in found if c.reshaping != Reshaping())
    # A quarter of all: not the whole network at a quarter of its width, which has as many.
    chosen = choose(found, 17_408)
    assert chosen == Candidate(Reshaping(), Configuration((2, 3, 4), True), 14_336)
    one = candidates(spec, source, reshapings(spec), configurations((3,)))
    assert {c.reshaping for c in in_order(one)} == set(reshapings(spec))


def test_a_network_with_pruned_filters_is_reshaped_by_sides_alone(digits: DataSet) -> None:
    spec = NetworkSpec.parse("resnet18:m=4,filters=" + ".".join("3" * 12), **digits.context)
    assert {one.channels for one in reshapings(spec)} == {1}
    with pytest.raises(ConfigError, match="channels: expected 1 for a network with pruned filters"):
        Reshaping(0.5).of(spec)


def test_new_weights_instead_of_inherited_ones(digits: DataSet) -> None:
    task = _task(digits, 448)
    inherited, new = (DeepReduce(order="3,2,4,1", start=start).reduce(task) for start in ("inherited", "new"))
    assert inherited.relu_map == new.relu_map
    assert torch.equal(inherited.network.fc.weight, task.network.fc.weight)
    drawn = build_network(task.spec, seed=task.finetune.seed).fc.weight
    assert torch.equal(new.network.fc.weight, drawn)


def test_named_stages_and_reshaping(digits: DataSet) -> None:
    kept = DeepReduce(keep="3,2", thin=True).reduce(_task(digits, 500))
    assert kept.relu_map.count == 384
    assert kept.spec.m == 4
    narrow = DeepReduce(keep="3,2", thin=True, channels=0.5, stride=2).reduce(_task(digits, 500))
    assert narrow.relu_map.count == 384 // 8
    assert str(narrow.spec) == "resnet18:m=2,classes=10,size=8,channels=1,stride=2"
    for bad in ({"keep": "5"}, {"keep": "2,2"}, {"channels": 2.0}):
        with pytest.raises(ConfigError, match="expected"):
            DeepReduce(**bad).reduce(_task(digits, 500))
