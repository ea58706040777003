"""CryptoNAS: which network a budget gets, and that the controller learns what is rewarded."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from reductions import MakeTask

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce import CryptoNas
from pi_system.reduce.macro_search import Controller, MacroSupernet, _Reinforce
from pi_system.reduce.outer import HeldOut, generator_of, split_training
from pi_system.train.macro import macro_text, parse_macro


@pytest.mark.parametrize(
    ("pixels", "network", "expected"),
    [
        (6, "auto", ("cnet1", 1)),
        (84, "auto", ("cnet1", 14)),  # published: 6 layers, 14 wide
        (336, "auto", ("cnet2", 28)),
        (1344, "auto", ("cnet3", 56)),
        (1344, "cnet1", ("cnet1", 224)),
        (100, "search", ("cnet", 16)),
    ],
)
def test_width_follows_from_the_budget(make_task: MakeTask, pixels: int, network: Any, expected: Any) -> None:
    task = make_task(1, epochs=0)
    object.__setattr__(task, "budget", 64 * pixels + 63)
    spec = CryptoNas(network=network)._design(task)
    assert (spec.base, spec.m) == expected
    assert (spec.classes, spec.size, spec.channels) == (10, 8, 1)


def test_a_budget_below_one_channel_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(BudgetError, match="at least 384 ReLUs, those of 6 layers"):
        CryptoNas().reduce(make_task(383))
    with pytest.raises(BudgetError, match="at least 192 ReLUs"):
        CryptoNas(network="search", layers=3).reduce(make_task(191))
    with pytest.raises(ConfigError, match="at least 3 and 1"):
        CryptoNas(network="search", layers=2).reduce(make_task(500))


def test_architectures_survive_as_text() -> None:
    controller = Controller(5)
    with torch.no_grad():
        drawn = [controller.draw(generator_of(0, k)).layers for k in range(5)]
    assert len({macro_text(one) for one in drawn}) == 5
    assert all(parse_macro(macro_text(one)) == one for one in drawn)


def test_a_draw_has_its_probability() -> None:
    """The surprise of a greedy draw of a new controller is that of nearly uniform choices."""
    draw = Controller(4).draw(None)
    choices = 4 * torch.tensor(4.0).log() + 6 * torch.tensor(2.0).log()
    assert float(draw.surprise.detach()) == pytest.approx(float(choices), abs=0.2)
    assert float(draw.skip_penalty.detach()) >= 0


def test_the_controller_learns_what_is_rewarded(make_task: MakeTask) -> None:
    task = make_task(500)
    torch.manual_seed(0)
    net = MacroSupernet(3, 1, task.spec, seed=0)
    companion: Any = _Reinforce(net, HeldOut(task, split_training(task)[1]), steps=1)
    companion.accuracy = lambda layers, number: sum(layer.operation == 2 for layer in layers) / 3
    weights = {name: value.clone() for name, value in net.layers.state_dict().items()}
    rewards = [companion.step() for _ in range(400)]
    assert sum(rewards[-100:]) > 1.5 * sum(rewards[:100])
    assert all(torch.equal(value, weights[name]) for name, value in net.layers.state_dict().items())


def test_the_search_trains_shared_weights_and_the_controller(make_task: MakeTask) -> None:
    task = make_task(400, epochs=0)
    settings: dict[str, Any] = {"network": "search", "layers": 3, "search_width": 2, "controller_steps": 3}
    found = [CryptoNas(**settings, search_epochs=epochs).reduce(task) for epochs in (0, 2)]
    for result in found:
        assert result.spec.base == "cnet"
        assert parse_macro(result.spec.arch)
        assert 0 < result.relu_map.count == 3 * 64 * result.spec.m <= 400


def test_halves_of_the_training_pictures_are_disjoint(make_task: MakeTask) -> None:
    task = make_task(400)
    data, held_out = split_training(task)
    assert len(data.train) == len(held_out) == len(task.data.train) // 2
    whole = torch.cat([data.train.images, held_out.images]).flatten(1)
    before: Any = task.data.train.images.flatten(1)
    assert sorted(whole.tolist()) == sorted(before.tolist())
    assert data.validation is task.data.validation
    again = split_training(replace(task, finetune=replace(task.finetune, seed=1)))[1]
    assert not torch.equal(again.images, held_out.images)
