"""Sphynx: which cells a budget gets, and that the search moves the shares towards what lowers the held-out loss."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracle import assert_within_ulps
from parties import BACKENDS, secure_logits
from reductions import MakeTask
from torch.nn import functional
from torch.optim import Adam

from pi_system.errors import BudgetError, ConfigError
from pi_system.export import export_network
from pi_system.program import relu_count
from pi_system.reduce import CryptoNas, L1Filters, ReductionMethod, Sphynx
from pi_system.reduce.micro_search import MicroSupernet, _Architect, _best
from pi_system.reduce.outer import HeldOut, OuterAdam, split_training
from pi_system.train.cells import OPERATIONS, SPHYNX_CELLS, parse_cells


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (5, {}, ("rrnnn", 1)),
        (25, {}, ("rrnnn", 5)),  # published: 25 K of 1,024 pixels
        (30, {}, ("rrnnnn", 5)),
        (40, {}, ("nrnrnnnn", 5)),
        (50, {}, ("rnnnnrnnnn", 5)),
        (100, {}, ("rnnnnrnnnn", 10)),
        (100, {"count": 5}, ("rrnnn", 20)),
        (100, {"arch": "c0s1-c0c1-rr"}, ("rr", 50)),
    ],
)
def test_cells_and_width_follow_from_the_budget(make_task: MakeTask, pixels: int, options: Any, expected: Any) -> None:
    task = make_task(1, epochs=0)
    object.__setattr__(task, "budget", 64 * pixels + 63)
    assert Sphynx(**options)._design(task) == expected


def test_what_cannot_be_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(BudgetError, match="at least 320 ReLUs, those of 5 cells"):
        Sphynx().reduce(make_task(319))
    for bad in ({"count": 7}, {"cells": "magic"}, {"arch": "c0c1"}):
        with pytest.raises(ConfigError, match="expected"):
            Sphynx(**bad).reduce(make_task(500))


def test_the_published_cells_are_the_default(make_task: MakeTask) -> None:
    result = Sphynx().reduce(make_task(320, epochs=0))
    assert result.spec.arch == f"{SPHYNX_CELLS}-rrnnn"
    assert result.relu_map.count == 320


@pytest.fixture
def searching(make_task: MakeTask) -> Any:
    task = make_task(500)
    torch.manual_seed(0)
    net = MicroSupernet("rr", 2, 1, task.spec)
    return net, _Architect(net, HeldOut(task, split_training(task)[1])), task


def test_a_step_of_the_shares_leaves_the_weights(searching: Any) -> None:
    net, architect, _ = searching
    weights = {name: value.detach().clone() for name, value in net.body.named_parameters()}
    before = [table.detach().clone() for table in net.logits]
    architect.after_step(1, 10)
    assert all(torch.equal(value, weights[name]) for name, value in net.body.named_parameters())
    moved = [bool((table != old).any()) for table, old in zip(net.logits, before, strict=True)]
    assert moved == [False, False, True, True]  # "rr" has no normal cell
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_step_of_the_weights_leaves_the_shares(searching: Any) -> None:
    net, _, task = searching
    x, labels = HeldOut(task, task.data.train).batch(0)
    functional.cross_entropy(net(x), labels).backward()  # type: ignore[no-untyped-call]
    assert all(table.grad is None for table in net.logits)
    assert net.fc.weight.grad is not None


def test_shares_go_where_the_held_out_loss_falls(searching: Any) -> None:
    net, architect, _ = searching
    x, labels = architect._held_out.batch(3)

    def loss() -> float:
        with torch.no_grad():
            return float(functional.cross_entropy(net(x), labels))

    before = loss()
    net.optimizer._rate = 0.05
    for _ in range(20):
        architect.after_step(3, 10)
    assert loss() < before


def test_a_node_keeps_its_two_best_edges() -> None:
    table = torch.zeros(3, len(OPERATIONS) + 1)
    letters = list(OPERATIONS)
    table[0, letters.index("v")], table[2, letters.index("s")], table[1, -1] = 2.0, 3.0, 9.0  # nothing never counts
    assert _best(table) == "s2v0"


def test_found_cells_can_be_read(searching: Any) -> None:
    net, _, _ = searching
    plan = parse_cells(f"{net.cells()}-rr")
    assert len(plan.normal) == len(plan.reducing) == 2


def test_the_outer_adam_is_torchs() -> None:
    torch.manual_seed(0)
    start = torch.randn(4, 3)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    settings: dict[str, Any] = {"betas": (0.5, 0.999), "weight_decay": 1e-3}
    outer, reference = OuterAdam([ours], rate=1e-2, **settings), Adam([theirs], lr=1e-2, **settings)
    for k in range(5):
        outer.step((ours * (k + 1)).square().sum())
        reference.zero_grad()
        (theirs * (k + 1)).square().sum().backward()  # type: ignore[no-untyped-call]
        reference.step()
    assert torch.allclose(ours, theirs, atol=1e-7)
    assert {name for name, _ in outer.named_parameters()} == set()


@pytest.fixture(scope="module")
def artifacts(make_task: MakeTask) -> Any:
    """Concatenations, dilated kernels, channels no power of two: exported, with a picture."""
    methods: tuple[ReductionMethod, ...] = (Sphynx(arch="s0e1.a0d2-c0v1-rr"), CryptoNas(), L1Filters())
    found = []
    for method, budget in zip(methods, (130, 400, 600), strict=True):
        task = make_task(budget, epochs=1)
        result = method.reduce(task)
        pictures, _ = HeldOut(task, task.data.train).batch(0)
        inputs = pictures[:16].contiguous().numpy()
        artifact = export_network(result.network.eval(), task.data.preprocess, inputs, "n")
        assert relu_count(artifact.public.graph) == result.relu_map.count
        found.append((artifact, inputs[:1]))
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_gives_the_logits_of_the_fixed_point_oracle(artifacts: Any, tmp_path: Path, backend: str) -> None:
    for place, (artifact, picture) in enumerate(artifacts):
        secure, _, _ = secure_logits(backend, artifact, picture, tmp_path / str(place))
        logits = assert_within_ulps(artifact, picture, secure)
        assert np.abs(secure - logits).max() < 0.1 * np.ptp(logits) + 0.02
