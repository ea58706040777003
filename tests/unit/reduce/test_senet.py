"""SENet's parts: the sparse proxy, the search by mismatch, the objective, several widths from one network."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.reduce import SeNet, reduce_run
from pi_system.reduce.indicators import HardIndicator
from pi_system.reduce.matching import Matching
from pi_system.reduce.mismatch import _Search, match_masks
from pi_system.reduce.sensitivity import feeding_convolutions
from pi_system.reduce.sparse_proxy import _Pruning, trained_density
from pi_system.reduce.training import insert_indicators
from pi_system.reduce.widths import Widths, parse_widths
from pi_system.train import (
    Classifier,
    DataConfig,
    DataSet,
    ReluMap,
    TrainConfig,
    build_network,
    fit,
    load_run,
    named_relus,
    train_run,
)
from pi_system.train.data.augment import Normalisation


@pytest.fixture(scope="module")
def pictures(few_digits: DataSet) -> Tensor:
    return Normalisation.of(few_digits.preprocess, torch.device("cpu"))(few_digits.train.images[:32])


def _halved(network: Classifier) -> Classifier:
    """A copy with every second channel's ReLUs only."""
    student = copy.deepcopy(network)
    for relu in named_relus(student).values():
        relu.set_mask(relu.mask & (torch.arange(relu.shape[0]) % 2 == 0)[:, None, None])
    return student


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_proxy_has_the_density_asked_for(make_task: Any, epochs: int) -> None:
    task = make_task(300)
    sizes = {n: sum(c.weight.numel() for c in convs) for n, convs in feeding_convolutions(task.network).items()}
    kept = trained_density(task, 0.1, epochs)
    assert list(kept) == list(named_relus(task.network))
    assert sum(kept[name] * size for name, size in sizes.items()) == pytest.approx(0.1 * sum(sizes.values()), abs=1)


def test_pruned_weights_stay_zero_until_the_largest_are_chosen_again() -> None:
    conv = torch.nn.Conv2d(1, 2, 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(8.0).view_as(conv.weight))
    pruning = _Pruning([conv], 0.25)
    pruning.prune(0.25)
    assert conv.weight.flatten().tolist() == [0, 0, 0, 0, 0, 0, 6, 7]
    with torch.no_grad():
        conv.weight.add_(0.5)
    pruning._zero()
    assert conv.weight.flatten().tolist() == [0, 0, 0, 0, 0, 0, 6.5, 7.5]


def test_sensitivity_is_inverse_to_what_pruning_leaves(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(300, epochs=0)
    names = list(named_relus(task.network))
    left = {name: (k + 1) / 20 for k, name in enumerate(names)}
    monkeypatch.setattr("pi_system.reduce.senet.trained_density", lambda *_: left)
    result = SeNet().reduce(task)
    assert result.report["sensitivity"] == pytest.approx({name: 1 - left[name] / left[names[-1]] for name in names})
    assert result.relu_map.counts == result.report["budgets"]


def test_relus_go_where_the_partial_network_differs_most_from_the_whole(make_task: Any, pictures: Tensor) -> None:
    task = make_task(300)
    student, teacher = copy.deepcopy(task.network), copy.deepcopy(task.network)
    names = list(named_relus(student))
    budgets = dict.fromkeys(names, 8)
    indicators = insert_indicators(student, HardIndicator, "pixel", "random", torch.Generator().manual_seed(0))
    search = _Search(indicators, teacher, budgets)
    search.update()
    for indicator in indicators.values():
        indicator.measure.importance.zero_()
    seen = {}
    for side, network in (("whole", teacher), ("partial", student)):
        network.get_submodule(names[0]).register_forward_hook(lambda m, i, out, side=side: seen.update({side: out}))
    teacher(pictures), student(pictures)
    assert search.extra_loss() is None
    gap = (seen["partial"] - seen["whole"]).abs().mean(0)
    assert torch.allclose(indicators[names[0]].measure.importance[0], 0.05 * gap, atol=1e-6)
    search.update()
    mask = indicators[names[0]].relu.mask
    assert int(mask.sum()) == 8
    assert gap[mask].min() >= gap[~mask].max()


def test_the_search_moves_the_relus_and_keeps_every_layers_budget(make_task: Any) -> None:
    task = make_task(300)
    masks = []
    for epochs in (0, 2):
        student, teacher = copy.deepcopy(task.network), copy.deepcopy(task.network)
        budgets = {name: min(20, relu.size) for name, relu in named_relus(student).items()}
        match_masks(task, student, teacher, replace(task.finetune, epochs=epochs), "pixel", budgets)
        assert ReluMap.of(student).counts == budgets
        masks.append(ReluMap.of(student))
    assert masks[0] != masks[1]


def test_the_objective_is_cross_entropy_distillation_and_matching(make_task: Any, few_digits: DataSet) -> None:
    """The first step's loss, against the formula."""
    task = make_task(300, epochs=1)
    config = replace(task.finetune, batch_size=128, augment=False, label_smoothing=0.0)
    teacher, student = copy.deepcopy(task.network), _halved(task.network)
    x = Normalisation.of(few_digits.preprocess, torch.device("cpu"))(few_digits.train.images)
    labels = few_digits.train.labels
    own = copy.deepcopy(student).train()
    matching = Matching(student, teacher, weight=3.0)
    outputs = {}
    for side, network in (("s", own), ("t", copy.deepcopy(task.network).eval())):
        for name in {relu.stage: name for name, relu in named_relus(network).items()}.values():
            network.get_submodule(name).register_forward_hook(
                lambda m, i, out, key=(side, name): outputs.update({key: functional.normalize(out.flatten(1), dim=1)})
            )
        outputs[side] = network(x)
    expected = functional.cross_entropy(outputs["s"], labels)
    expected += 16 * functional.kl_div(
        functional.log_softmax(outputs["s"] / 4, 1), functional.softmax(outputs["t"] / 4, 1), reduction="batchmean"
    )
    layers = [key[1] for key in outputs if key[0] == "s" and isinstance(key, tuple)]
    assert len(layers) == 4
    expected += 1.5 * sum((outputs["s", n] - outputs["t", n]).square().sum(1).mean() for n in layers)
    found = fit(student, task.data, config, teacher=teacher, companion=matching).history[0]["train_loss"]
    assert found == pytest.approx(float(expected.detach()), rel=1e-4)


def test_widths_share_the_first_channels_and_masks_and_normalise_by_themselves(make_task: Any) -> None:
    task = make_task(300, "resnet18:m=4", epochs=2)
    result = SeNet(widths="0.5,0.25", proxy_epochs=0).reduce(task)
    assert list(result.narrower) == ["width-0.5", "width-0.25"]
    whole = dict(result.network.named_parameters())
    for (spec, network), m in zip(result.narrower.values(), (2, 1), strict=True):
        assert spec.m == m
        build_network(spec).load_state_dict(network.state_dict())
        conv = network.get_parameter("stages.1.0.conv1.weight")
        assert torch.equal(conv, whole["stages.1.0.conv1.weight"][: conv.shape[0], : conv.shape[1]])
        assert not torch.equal(
            network.get_buffer("stem_bn.running_mean"), result.network.get_buffer("stem_bn.running_mean")[:m]
        )
        assert float(network.get_buffer("stem_bn.running_mean").abs().sum()) > 0
        for name, mask in ReluMap.of(network):
            assert torch.equal(mask, result.relu_map.masks[name][tuple(slice(n) for n in mask.shape)])
    assert "narrow" not in dict(result.network.named_children())


def test_a_width_learns_the_teachers_logits(make_task: Any, pictures: Tensor) -> None:
    """The extra loss falls by a gradient step on the shared weights and its own normalisations."""
    task = make_task(300, "resnet18:m=4")
    student, teacher = copy.deepcopy(task.network), copy.deepcopy(task.network).eval()
    widths = Widths(task.spec, student, teacher, [0.5], TrainConfig(epochs=1), Matching(student, teacher, 0.0))
    optimizer = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=0.05)
    losses = []
    for _ in range(8):
        teacher(pictures), student(pictures)
        loss = widths.extra_loss()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert student.stem_conv.weight.grad[:2].abs().sum() > 0
    assert student.stem_conv.weight.grad[2:].abs().sum() == 0


def test_every_width_is_a_run_of_its_own(tmp_path: Path) -> None:
    recipe = TrainConfig(epochs=1, batch_size=256, device="cpu", learning_rate=0.02)
    train_run(tmp_path / "full", "resnet18:m=2", DataConfig(name="digits"), recipe)
    options = {"widths": "0.5", "proxy_epochs": "0"}
    result = reduce_run(tmp_path / "full", tmp_path / "out", "senet", options, recipe, budget=300)
    found = json.loads((tmp_path / "out" / "width-0.5" / "result.json").read_text())
    assert result["relus"] == 300
    assert (found["network"], found["of"]) == ("resnet18:m=1,classes=10,size=8,channels=1", "width-0.5")
    assert load_run(tmp_path / "out" / "width-0.5").relu_map.count == found["relus"] < 300


@pytest.mark.parametrize("text", ["1.0", "0", "half", "0.5,0.5", "-0.5"])
def test_widths_are_shares(text: str) -> None:
    with pytest.raises(ConfigError, match="widths: expected different shares"):
        parse_widths(text)
