"""What every method owes its caller, on a network small enough to reduce in a second."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reductions import MakeTask, killed_after_every_epoch

from pi_system.errors import BudgetError, ConfigError
from pi_system.export import export_network
from pi_system.program import relu_count
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.reduce import METHODS, ReductionTask, make_method
from pi_system.reduce.registry import reaching
from pi_system.train import DataSet, ReluMap, build_network, evaluate, named_relus
from pi_system.train.data.augment import Normalisation
from pi_system.train.mixed import load_weights

_RELUS = 1088  # of the tiny network
_BUDGET = 300
# One channel a layer has 404.
_BUDGETS = {"narrower": 600, "l1": 600, "lfpc": 600, "delphi": 700, "cryptonas": 400, "sphynx": 400}
_KEEPING = {name for name, kind in METHODS.items() if hasattr(kind, "KEEPS_RELUS")}
_BRIEF = {"search_epochs": "2"}
_CHANNEL = {"granularity": "channel"}
_LASSO = {"search_epochs": "2", "lasso_start": "1e-3"}

# Method, options, whether the budget is met exactly (pixels), networks with other weights start from anew.
CASES = [
    ("gradual", {}, True),
    ("gradual", _CHANNEL, False),
    ("gradual", {"granularity": "layer", "importance": "signed"}, False),
    ("gradual", {"importance": "relupruner"}, True),
    ("snl", _LASSO, True),
    ("snl", {**_LASSO, **_CHANNEL}, False),
    ("senet", {}, True),
    ("senet", {"widths": "0.5", "proxy_epochs": "1"}, True),
    ("senet", {"sensitivity": "loss", "mask": "importance", **_CHANNEL}, False),
    ("shallow", {}, False),
    ("shallow", {"gate": "0.5", "exact": "false"}, False),
    ("deepreduce", {"order": "3,2,4,1"}, False),
    ("deepreduce", {"order": "3,2,4,1", "channels": "0.5"}, False),
    ("deepreduce", {"order": "3,2,4,1", "reshape": "true", "start": "new"}, False),
    ("deepreshape", {"least_width": "1"}, False),
    ("deepreshape", {"least_width": "1", "reuse": "2"}, False),
    ("l1", {}, False),
    ("lfpc", {}, False),
    ("cryptonas", {}, False),
    ("cryptonas", {"network": "search", "layers": "3", "search_width": "2", "controller_steps": "2", **_BRIEF}, False),
    ("sphynx", {"arch": "c0s1-c0e1-rrn"}, False),
    ("sphynx", {"cells": "search", "nodes": "1", "search_width": "1", **_BRIEF}, False),
    ("snip", {}, True),
    ("snip", _CHANNEL, False),
    ("unstructured", {}, False),
    ("unstructured", {"criterion": "snip"}, False),
    ("random", {}, True),
    ("random", _CHANNEL, False),
    ("random", {"schedule": "once"}, True),
    ("narrower", {}, False),
    ("delphi", {"candidates": "2", "rounds": "1"}, False),
    ("safenet", {}, False),
]
_IDS = ["-".join([name, *options.values()]).replace(",", "") for name, options, _ in CASES]
_SEEN_ELSEWHERE: tuple[dict[str, str], ...] = (
    {},
    _CHANNEL,
    {"least_width": "1"},
    {"arch": "c0s1-c0e1-rrn"},
    {"candidates": "2", "rounds": "1"},
)
"""Options with which the catalogue reduces, resumes and exports."""
_REDUCED = [
    (name, case)
    for name, case in zip(_IDS, CASES, strict=True)
    if case[1] not in _SEEN_ELSEWHERE or name == "narrower"  # whose budget here lies between those of two widths
]


@pytest.fixture(scope="module")
def make_task(make_task: MakeTask, few_digits: DataSet) -> MakeTask:
    """Tasks with one step an epoch, and one batch to validate on."""
    few = torch.arange(64)
    tiny = replace(few_digits, train=few_digits.train.subset(few), validation=few_digits.validation.subset(few))

    def make(budget: int, network: str = "resnet18:m=2", data: DataSet = tiny, **settings: Any) -> ReductionTask:
        return make_task(budget, network, data, **settings)

    return make


def _equal(first: Any, second: Any) -> bool:
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_every_method_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(METHODS) - {"whole"}  # which keeps no budget


@pytest.mark.parametrize(("name", "options", "exact"), [case for _, case in _REDUCED], ids=[i for i, _ in _REDUCED])
def test_within_budget_resumable_and_exportable(
    make_task: Any, tmp_path: Path, name: str, options: dict[str, Any], exact: bool
) -> None:
    task = make_task(_BUDGETS.get(name, _BUDGET))
    before = copy.deepcopy(task.network.state_dict())
    method = make_method(name, options)
    whole = method.reduce(task)

    limit = _RELUS if name in _KEEPING else task.budget
    assert whole.relu_map.count == limit if exact or name in _KEEPING else 0 < whole.relu_map.count <= limit
    assert ReluMap.of(task.network).count == _RELUS
    assert all(torch.equal(value, before[key]) for key, value in task.network.state_dict().items())
    load_weights(build_network(whole.spec), whole.network.state_dict())  # the spec describes the network

    resumed, seen = killed_after_every_epoch(method, replace(task, workdir=tmp_path))
    assert len(seen) <= 4
    assert resumed.relu_map == whole.relu_map
    assert _equal(resumed.network, whole.network)

    _check_export(whole.network, task.data, whole.relu_map.count)


def _check_export(network: Any, data: Any, relus: Any) -> None:
    pictures = Normalisation.of(data.preprocess, torch.device("cpu"))(data.train.images[:32])
    network.eval()
    with torch.no_grad():
        expected = network(pictures).numpy()
    artifact = export_network(network, data.preprocess, pictures.numpy(), "reduced")
    assert relu_count(artifact.public.graph) == relus
    _, fixed = fixed_logits(artifact, pictures.numpy(), check_range=True)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(float_logits(artifact, pictures.numpy()) - expected).max() < 0.02 * scale
    assert np.abs(fixed - expected).max() < 0.05 * scale


@pytest.mark.parametrize(("name", "options"), [case[:2] for case in CASES], ids=_IDS)
def test_impossible_budget_is_refused_before_any_training(make_task: Any, name: str, options: dict[str, Any]) -> None:
    task = make_task(0, epochs=10_000)
    with pytest.raises(BudgetError, match=r"budget: expected at least \d+ ReLUs") as refused:
        make_method(name, options).reduce(task)
    assert 1 <= refused.value.least < _RELUS
    task = replace(task, budget=refused.value.least, finetune=replace(task.finetune, epochs=0))
    options = options | ({"search_epochs": "0"} if name == "snl" else {})
    count = make_method(name, options).reduce(task).relu_map.count
    assert count == (_RELUS if name in _KEEPING else refused.value.least)


@pytest.mark.parametrize("name", [name for name in METHODS if name in reaching(1, "", {})])
def test_methods_named_for_any_budget_reach_a_single_relu(make_task: Any, name: str) -> None:
    options = {"search_epochs": "0"} if name == "snl" else {}
    assert make_method(name, options).reduce(make_task(1, epochs=0)).relu_map.count == 1


# Families that the catalogue's selection has for a method are left to it.
_ON_ALL = ("resnet34:m=1", "resnet50:m=1", "hrn-5x5x3x:m=1")
_OTHERS = {
    "gradual": _ON_ALL,
    "senet": (*_ON_ALL, "wrn-16-1:m=2", "vgg16:m=2"),
    "deepreduce": (*_ON_ALL, "wrn-16-1:m=2", "cnet1:m=2"),
    "shallow": (*_ON_ALL, "vgg16:m=2", "cnet1:m=2"),
    "l1": (*_ON_ALL, "wrn-16-1:m=2", "cnet1:m=2"),
}


@pytest.mark.parametrize(("name", "network"), [(name, network) for name in _OTHERS for network in _OTHERS[name]])
def test_other_networks(make_task: Any, network: str, name: str) -> None:
    task = make_task(1, network, epochs=0)
    present = ReluMap.of(task.network).count
    task = replace(task, budget=3 * present // 4 if name in ("l1", "lfpc") else present // 2)
    method = make_method(name, {"order": ",".join(reversed(_stages(task)))} if name == "deepreduce" else {})
    if name == "shallow" and network.startswith(("resnet50", "cnet")):
        with pytest.raises(ConfigError, match="expected a network of basic blocks"):
            method.reduce(task)
        return
    result = method.reduce(task)
    assert 0 < result.relu_map.count <= task.budget
    _check_export(result.network, task.data, result.relu_map.count)


def _stages(task: Any) -> Any:
    return sorted({str(relu.stage) for relu in named_relus(task.network).values()})


@pytest.fixture(scope="module")
def loss_of(make_task: Any, digits: DataSet, trained: Any) -> Any:
    """The test loss of a method with a tenth of the ReLUs."""

    @cache
    def loss(method: Any, **options: str) -> Any:
        task = make_task(217, "resnet18:m=4", digits, epochs=4)
        result = make_method(method, options).reduce(replace(task, network=trained))
        assert result.relu_map.count == 217
        return -evaluate(result.network, digits.test, digits.preprocess).negated_loss

    return loss


# SENet's search by mismatch, with budgets by loss: those by its proxy are worse than random ones here.
@pytest.mark.parametrize(("name", "options"), [("gradual", {}), ("senet", {"sensitivity": "loss"})])
def test_pixels_that_were_chosen_beat_random_ones(loss_of: Any, name: str, options: dict[str, str]) -> None:
    assert loss_of(name, **options) < 0.92 * loss_of("random")  # 0.88 at most, by the machine


def test_the_whole_network_only_gets_the_epochs(make_task: Any) -> None:
    result = make_method("whole", {}).reduce(make_task(_BUDGET))
    assert result.relu_map.count == _RELUS
    assert len(result.fitted.history) == 2


def test_random_masks_are_random(make_task: Any) -> None:
    """The control draws uniformly over all layers, and anew for every seed."""
    maps = []
    for seed in (1, 2):
        task = make_task(_RELUS // 2, epochs=0)
        task = replace(task, finetune=replace(task.finetune, seed=seed))
        maps.append(make_method("random", {}).reduce(task).relu_map)
    positions = [torch.cat([mask.flatten() for _, mask in found]) for found in maps]
    for kept in positions:
        for part in (kept[::2], kept[: _RELUS // 2], kept[_RELUS // 2 :]):
            assert abs(float(part.float().mean()) - 0.5) < 6 * 0.5 / len(part) ** 0.5
    agree = float((positions[0] == positions[1]).float().mean())
    assert abs(agree - 0.5) < 6 * 0.5 / _RELUS**0.5
