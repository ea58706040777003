import copy
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.reduce import make_method
from pi_system.reduce.channels import channel_importance, give_back, give_up, measure_steps
from pi_system.reduce.safenet import SafeNet
from pi_system.reduce.sensitivity import mean_loss, sample_batches
from pi_system.reduce.swap import settle
from pi_system.train import ReluMap, named_relus
from pi_system.train.mixed import DELPHI, Kind, mix, mixed_activations


def _pictures() -> Any:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_degree_one_alone_is_channelwise_linearisation(make_task: Any) -> None:
    task = make_task(300, epochs=0)
    result = SafeNet(degrees="1", fit=False).reduce(task)
    expected = copy.deepcopy(task.network)
    result.relu_map.apply(expected)
    settle(task, expected)
    for _, mask in result.relu_map:
        assert (mask.flatten(1).all(1) | ~mask.flatten(1).any(1)).all()  # whole channels
    torch.testing.assert_close(result.network.eval()(_pictures()), expected.eval()(_pictures()))
    assert result.report["squares"] == 0


def test_degree_two_alone_is_delphi_by_channel(make_task: Any) -> None:
    task = make_task(300, epochs=0)
    result = SafeNet(degrees="2", fit=False).reduce(task)
    expected = copy.deepcopy(task.network)
    for name, mask in result.relu_map:
        layer = mix(expected, name)
        layer.set_kinds(torch.where(mask, int(Kind.RELU), int(Kind.QUADRATIC)).to(torch.uint8))
        assert layer.coefficients[0].tolist() == pytest.approx(DELPHI)
    settle(task, expected)
    torch.testing.assert_close(result.network.eval()(_pictures()), expected.eval()(_pictures()))
    assert result.report["squares"] == 1088 - result.relu_map.count


def test_the_budget_is_filled_up_to_the_smallest_channel(make_task: Any) -> None:
    for budget in (301, 900):
        result = SafeNet().reduce(make_task(budget, epochs=0))
        smallest = min(
            relu.size // relu.shape[0]
            for name, relu in named_relus(result.network).items()
            if result.relu_map.counts[name] < relu.size
        )
        assert budget - smallest < result.relu_map.count <= budget


def test_importance_is_the_squared_first_order_change(make_task: Any) -> None:
    task = make_task(300)
    network = copy.deepcopy(task.network)
    name = list(named_relus(network))[2]
    mix(network, name)
    found = channel_importance(task, network)[name]
    assert set(mixed_activations(network)) == {name}
    expected = torch.zeros(2, dtype=torch.float64)
    relu, seen = network.eval().get_submodule(name), []
    relu.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    a, b, c = DELPHI
    for x, labels in sample_batches(network, task):
        for picture, label in zip(x, labels, strict=True):  # one by one: nothing is summed but over positions
            seen.clear()
            loss = torch.nn.functional.cross_entropy(network(picture[None]), label[None])
            (before, after) = seen[0]
            (gradient,) = torch.autograd.grad(loss, after)
            change = a * before**2 + b * before + c - before.clamp(min=0)
            expected += (gradient * change).sum((0, 2, 3)).double().square()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-9)


def test_steps_measure_the_loss_of_a_layer_alone(make_task: Any) -> None:
    task = make_task(300)
    network = copy.deepcopy(task.network)
    name = list(named_relus(network))[5]
    layer = mix(network, name)
    before = copy.deepcopy(network.state_dict())
    order, degrees = torch.tensor([3, 1, 0, 2]), torch.tensor([2, 1, 2, 0])
    (steps,) = measure_steps(task, network, {name: order}, {name: degrees}).values()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [(step.given_up, step.relus, step.squares) for step in steps] == [
        (0, 64, 0), (1, 48, 0), (2, 32, 0), (3, 16, 16), (4, 0, 32),
    ]  # fmt: skip
    give_up(layer, torch.tensor([False, True, False, True]), degrees)
    assert layer.kinds[:, 0, 0].tolist() == [Kind.RELU, Kind.LINEAR, Kind.RELU, Kind.LINEAR]
    with torch.no_grad():
        rise = mean_loss(copy.deepcopy(network).train(), task) - mean_loss(copy.deepcopy(task.network).train(), task)
    assert steps[0].loss == 0
    assert steps[2].loss == pytest.approx(rise, abs=1e-6)


def test_what_is_left_of_the_budget_goes_to_the_most_important_channels() -> None:
    costs = {"a": torch.tensor([8, 8, 8]), "b": torch.tensor([2, 2, 2, 2])}
    order = {"a": torch.tensor([2, 0, 1]), "b": torch.tensor([0, 1, 2, 3])}
    given_up = {"a": 3, "b": 4}
    give_back(13, costs, order, given_up)
    assert given_up == {"a": 2, "b": 2}


def test_milliseconds_stay_within_the_budget_of_relus(make_task: Any) -> None:
    result = SafeNet(objective="milliseconds", backend="gc").reduce(make_task(500, epochs=0))
    assert 0 < result.relu_map.count <= 500
    assert ReluMap.of(result.network) == result.relu_map


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degrees": "3"}, "degrees: expected some of 0, 1 and 2"),
        ({"degrees": ""}, "degrees: expected some of 0, 1 and 2"),
        ({"degrees": "1,2", "fit": "no"}, "degrees: expected 1 or 2 where nothing is fitted"),
        ({"objective": "bytes"}, "objective: expected one of relus, milliseconds"),
    ],
)
def test_bad_options_are_refused(make_task: Any, options: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method("safenet", options).reduce(make_task(300))
