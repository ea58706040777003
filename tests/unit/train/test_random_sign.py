"""Random signs in training: masks, gradients, what a resumed run draws, and how they come and go."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.train import DataSet, Interrupted, ResNet, TrainConfig, evaluate, fit
from pi_system.train.mixed import mix
from pi_system.train.random_sign import RandomSignReLU, insert_random_signs, remove_random_signs
from pi_system.train.relu import MaskedReLU, named_relus

CONFIG = TrainConfig(epochs=2, batch_size=128, learning_rate=0.05, device="cpu", augment=False)


def layer(width: float, seed: str = "seed", mask: Any = None) -> RandomSignReLU:
    relu = MaskedReLU((2, 4, 4), stage=1, block=0)
    if mask is not None:
        relu.set_mask(mask)
    return RandomSignReLU(relu, width, seed)


def test_gradients_pass_where_the_value_was_kept() -> None:
    x = torch.linspace(-1, 1, 64 * 32).reshape(64, 2, 4, 4).requires_grad_()
    out = layer(1.0)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, (out != 0).float())
    flat, kept = x.detach().flatten(), x.grad.flatten() != 0
    assert kept[flat >= 0.5].all()
    assert not kept[flat < -0.5].any()
    assert 0 < (kept != (flat > 0)).float().mean() < 0.25


def test_positions_without_a_relu_are_left_alone() -> None:
    mask = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    x = torch.randn(50, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    out = layer(4.0, mask=mask)(x)
    assert torch.equal(out[:, ~mask], x[:, ~mask])
    assert (out[:, mask] == 0).any()


def test_coins_differ_by_pass_and_by_layer_and_are_drawn_again_alike() -> None:
    x, one, other = torch.zeros(8, 2, 4, 4) + 1e-3, layer(1.0), layer(1.0, seed="another")
    first, second = one(x), one(x)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other(x))
    again = layer(1.0)
    again.load_state_dict({"draws": torch.tensor(1)})
    assert torch.equal(again(x), second)


def test_half_precision_has_the_same_coins() -> None:
    x = torch.full((8, 2, 4, 4), 0.125)
    assert torch.equal(layer(1.0)(x.bfloat16()).float(), layer(1.0)(x))


def test_signs_come_and_go(tiny: ResNet) -> None:
    before, names = copy.deepcopy(tiny), list(named_relus(tiny))
    windows = {names[0]: 0.5, names[1]: 0.0}
    signs = insert_random_signs(tiny, windows, 0)
    assert list(signs) == names[:1]  # a window of nothing is an exact sign
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(tiny.eval()(x), before.eval()(x))
    remove_random_signs(tiny, signs)
    assert tiny.state_dict().keys() == before.state_dict().keys()
    assert torch.equal(tiny(x), before(x))


def test_other_layers_are_refused(tiny: ResNet) -> None:
    with pytest.raises(ConfigError, match="expected names of ReLU layers; found nowhere"):
        insert_random_signs(tiny, {"nowhere": 1.0}, 0)
    mix(tiny, next(iter(named_relus(tiny))))
    with pytest.raises(ConfigError, match="found mixed activations"):
        insert_random_signs(tiny, {}, 0)


def test_a_stopped_run_goes_on_with_its_coins(tiny: ResNet, digits: DataSet, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(history: Any) -> None:
        raise Killed

    few = replace(digits, train=digits.train.subset(torch.arange(256)))
    whole, killed, resumed = (copy.deepcopy(tiny) for _ in range(3))
    for network in (whole, killed, resumed):
        insert_random_signs(network, dict.fromkeys(named_relus(network), 1.0), 0)
    fit(whole, few, CONFIG)
    with pytest.raises((Killed, Interrupted)):
        fit(killed, few, CONFIG, checkpoint=tmp_path / "c", on_epoch=kill)
    fit(resumed, few, CONFIG, checkpoint=tmp_path / "c")
    assert all(torch.equal(v, whole.state_dict()[k]) for k, v in resumed.state_dict().items())
    scores = {evaluate(whole, few.validation, few.preprocess) for _ in range(5)}
    assert len(scores) > 1  # validation draws coins, too
