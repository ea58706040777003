import json
import math

import pytest
import torch
from reductions import MakeTask
from scipy import stats

from pi_system.reduce.sensitivity import loss_of_layers, loss_of_stages
from pi_system.reduce.sensitivity_report import sensitivity_report, spearman
from pi_system.train import named_relus


def test_rank_correlation_is_spearmans() -> None:
    draw = torch.Generator().manual_seed(2)
    for first, second in ((torch.randn(17, generator=draw), torch.randn(17, generator=draw)),):
        for x in (first, first.round()):  # with ties, too
            expected = stats.spearmanr(x.numpy(), second.numpy()).statistic
            assert spearman(x.tolist(), second.tolist()) == pytest.approx(expected)
    assert spearman([1, 2, 3], [30, 20, 10]) == -1
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_every_layer_and_stage_is_reported_with_its_sign(make_task: MakeTask) -> None:
    task = make_task(100)
    found = sensitivity_report(task, density=0.2)
    rise = loss_of_layers(task)
    assert {layer.name: layer.rise for layer in found.layers} == rise
    assert set(found.better_without) == {name for name, value in rise.items() if value < 0} != set()
    assert set(found.stages) == {1, 2, 3, 4}
    assert found.by_layer == pytest.approx(spearman(list(rise.values()), [layer.density for layer in found.layers]))
    plain = json.loads(json.dumps(found.as_json()))
    assert plain["layers"][0]["name"] == "stem_relu"
    assert plain["stages"]["3"] == found.stages[3]
    assert plain["pruned_to"] == 0.2


def test_a_stage_is_all_its_layers_at_once(make_task: MakeTask) -> None:
    task = make_task(100)
    for name, relu in named_relus(task.network).items():  # one layer a stage is left: stage and layer are the same
        if not name.endswith("0.relu1"):
            relu.set_mask(relu.mask & False)
    layers, stages = loss_of_layers(task), loss_of_stages(task)
    for stage in (1, 2, 3, 4):
        assert stages[stage] == pytest.approx(layers[f"stages.{stage - 1}.0.relu1"])


def test_an_undefined_correlation_is_null(make_task: MakeTask) -> None:
    task = make_task(100)
    for relu in list(named_relus(task.network).values())[1:]:
        relu.set_mask(relu.mask & False)
    found = sensitivity_report(task)
    assert [layer.name for layer in found.layers] == ["stem_relu"]
    assert found.as_json()["by_layer"] is None
