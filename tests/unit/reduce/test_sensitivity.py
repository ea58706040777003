from typing import Any

import pytest
import torch

from pi_system.reduce.sensitivity import feeding_convolutions, loss_of_layers, pruning_density
from pi_system.train import DataSet, named_relus


def test_every_relu_layer_has_the_convolutions_before_it(make_task: Any) -> None:
    network = make_task(100).network
    feeding = feeding_convolutions(network)
    assert list(feeding) == list(named_relus(network))
    assert feeding["stem_relu"] == [network.stem_conv]
    block = network.stages[1][0]
    assert feeding["stages.1.0.relu2"] == [block.conv2, block.shortcut[0]]


def test_density_is_that_asked_for_over_all_weights(make_task: Any) -> None:
    task = make_task(100)
    feeding = feeding_convolutions(task.network)
    sizes = {name: sum(conv.weight.numel() for conv in convs) for name, convs in feeding.items()}
    kept = pruning_density(task, 0.1)
    assert sum(kept[name] * size for name, size in sizes.items()) == pytest.approx(0.1 * sum(sizes.values()), abs=1)
    assert all(0 <= share <= 1 for share in kept.values())


def test_measuring_leaves_the_network_as_it_was(make_task: Any, digits: DataSet) -> None:
    task = make_task(100, "resnet18:m=4", digits)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    rise = loss_of_layers(task)
    assert list(rise) == list(named_relus(task.network))
    assert min(rise.values()) < 0 < max(rise.values())  # of an untrained network: some ReLUs are in the way
    assert all(torch.equal(value, before[name]) for name, value in task.network.state_dict().items())
    assert all(relu.active == relu.size for relu in named_relus(task.network).values())


def test_layers_without_relus_have_no_rise(make_task: Any) -> None:
    task = make_task(100)
    relu = named_relus(task.network)["stem_relu"]
    relu.set_mask(relu.mask & False)
    assert loss_of_layers(task)["stem_relu"] == 0
