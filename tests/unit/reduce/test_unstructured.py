"""The control: weights go, and what private inference pays for stays as it was under every backend."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from changed_artifact import changed
from parties import BACKENDS, make_parties, prepare, reserve, run_parties
from reductions import MakeTask
from torch import nn

from pi_system.artifact import Artifact
from pi_system.backends.crypten.party import correlation_plan
from pi_system.errors import BudgetError
from pi_system.export import export_network
from pi_system.program import mac_count, relu_count, relu_layers
from pi_system.reduce import Unstructured
from pi_system.train.data.augment import Normalisation


def _weights(network: Any) -> Any:
    return torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)])


@pytest.mark.parametrize("criterion", ["magnitude", "snip"])
def test_the_share_of_the_budget_stays_after_finetuning(make_task: MakeTask, criterion: Any) -> None:
    task = make_task(108, epochs=1)
    result = Unstructured(criterion=criterion).reduce(task)
    before, after = _weights(task.network), _weights(result.network)
    assert int((after != 0).sum()) == len(before) * 108 // 1088 == result.report["kept"]
    assert not torch.equal(after[after != 0], before[after != 0])  # they were trained on
    assert {name for name, _ in result.network.named_parameters()} == {n for n, _ in task.network.named_parameters()}
    if criterion == "magnitude":
        assert before[after != 0].abs().min() >= before[after == 0].abs().max()


def test_not_one_weight_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(BudgetError, match="one of 1"):
        Unstructured().reduce(make_task(0))


def _measured(backend: str, artifact: Artifact, inputs: Any, store: Path) -> Any:
    """Bytes of both directions in both phases, and rounds online."""
    seen = []
    server, client = make_parties(backend, artifact, store)
    prepare(server, client, 1, wrap=lambda _, channel: seen.append(channel) or channel)  # type: ignore[func-returns-value]
    ids = reserve(server, client, 1)
    _, _, left, right = run_parties(
        lambda channel: server.infer(ids, channel), lambda channel: client.infer(inputs, ids, channel)
    )
    offline = sum(channel.counters.sent_bytes for channel in seen)
    return offline, left.counters.sent_bytes, right.counters.sent_bytes, right.counters.rounds


@pytest.fixture(scope="module")
def artifacts(make_task: MakeTask) -> Any:
    """The network as it was and pruned to a tenth, exported, and a picture."""
    task = make_task(108, epochs=0)
    pruned = Unstructured().reduce(task).network
    pictures = Normalisation.of(task.data.preprocess, torch.device("cpu"))(task.data.train.images[:16]).numpy()
    whole, sparse = (export_network(n.eval(), task.data.preprocess, pictures, "n") for n in (task.network, pruned))
    return whole, sparse, pictures[:1]


def test_relus_and_rounds_are_unchanged(artifacts: Any) -> None:
    whole, sparse, _ = (getattr(one, "public", None) for one in artifacts)
    assert relu_count(sparse.graph) == relu_count(whole.graph) == 1088  # type: ignore[union-attr]
    assert relu_layers(sparse.graph) == relu_layers(whole.graph)  # type: ignore[union-attr]
    assert mac_count(sparse.graph) == mac_count(whole.graph)  # type: ignore[union-attr]
    assert correlation_plan(sparse.graph, {}) == correlation_plan(whole.graph, {})  # type: ignore[union-attr]  # all that CrypTen sends


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_and_rounds_are_unchanged(artifacts: Any, tmp_path: Path, backend: str) -> None:
    whole, sparse, picture = artifacts
    # Scales follow the ranges of weights and activations, by a bit either way: with the same ones, bytes are equal.
    kept = {name: np.where(sparse.weights[name] == 0, 0, one).astype(one.dtype) for name, one in whole.weights.items()}
    sparse = changed(whole, weights=kept)
    zeros = sum(int((one == 0).sum()) for name, one in sparse.weights.items() if name.endswith("weight"))
    assert zeros > 0.85 * sum(one.size for one in sparse.weights.values())
    first, second = (_measured(backend, one, picture, tmp_path / str(k)) for k, one in enumerate((whole, sparse)))
    assert first == second
