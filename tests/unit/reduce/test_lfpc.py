"""LFPC: a sampler that is sure of L1 is L1 pruning, and its gradient tells criteria apart."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from reductions import MakeTask
from torch.func import functional_call
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.reduce import L1Filters, Lfpc, make_method
from pi_system.reduce.filters import CRITERIA, Pruning, ranking
from pi_system.reduce.lfpc import CriteriaSampler
from pi_system.train import DataSet
from pi_system.train.channels import channels_of, masked_weights


@pytest.fixture
def sampler(trained: Any) -> Any:
    channels = channels_of(trained)
    rankings = [[ranking(trained, group, one) for one in CRITERIA] for group in channels.groups]
    pruning = Pruning.of(trained, channels, [orders[0] for orders in rankings], [1.0] * len(rankings))
    sizes = pruning.sizes(pruning.ratio(1200))
    return CriteriaSampler(trained, channels, rankings, sizes, temperature=1.0, seed=0), pruning, sizes


@pytest.mark.parametrize("index", range(len(CRITERIA)))
def test_a_one_hot_sampler_is_its_criterion(sampler: Any, trained: Any, index: Any) -> None:
    sampler, _, sizes = sampler
    with torch.no_grad():
        sampler.logits[:, index] = 50.0
    channels = channels_of(trained)
    orders = [ranking(trained, group, list(CRITERIA)[index]) for group in channels.groups]
    masks = [torch.zeros(len(o)).index_fill(0, o[:size], 1.0) for o, size in zip(orders, sizes, strict=True)]
    x = torch.randn(8, 1, 8, 8)
    expected = functional_call(trained.eval(), masked_weights(trained, channels, masks), (x,))
    assert torch.allclose(sampler.eval()(x), expected, atol=1e-5)
    assert sampler.chosen == [index] * len(masks)
    for found, mask in zip(sampler.train().masks(sampler._draw()), masks, strict=True):
        assert torch.allclose(found, mask)


def test_without_a_search_it_is_l1(make_task: MakeTask) -> None:
    task = make_task(600, epochs=1)
    found, expected = Lfpc(search_epochs=0).reduce(task), L1Filters().reduce(task)
    assert found.spec == expected.spec
    state = expected.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.network.state_dict().items())


def test_the_gradient_reaches_the_logits_where_criteria_differ(sampler: Any, digits: DataSet) -> None:
    sampler, _, sizes = sampler
    x, labels = digits.train.images[:64].permute(0, 3, 1, 2).float() / 16, digits.train.labels[:64]
    functional.cross_entropy(sampler.train()(x), labels).backward()  # type: ignore[no-untyped-call]
    gradient = sampler.logits.grad
    differ = [bool((masks != masks[0]).any()) for masks in (sampler.get_buffer(f"kept{k}") for k in range(len(sizes)))]
    assert any(differ)
    assert [bool(row.abs().max() > 1e-6) for row in gradient] == differ
    assert all(parameter.grad is None for parameter in sampler.network.parameters())


def test_the_search_changes_the_sampler_and_nothing_else(make_task: MakeTask, trained: Any, digits: DataSet) -> None:
    task = replace(make_task(1200, "resnet18:m=4", digits, epochs=0), network=trained)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    result = Lfpc(search_epochs=1).reduce(task)
    assert set(result.report["criteria"].values()) - {"l1"}
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_a_temperature_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        make_method("lfpc", {"temperature": "0.0"})
