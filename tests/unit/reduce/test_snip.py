from typing import Any

import pytest
import torch
from reductions import MakeTask
from torch.nn import functional

from pi_system.reduce.indicators import SoftIndicator
from pi_system.reduce.sensitivity import sample_batches
from pi_system.reduce.snip import relu_saliency
from pi_system.reduce.training import insert_indicators
from pi_system.train import ReluMap


def test_a_score_is_what_a_small_change_of_the_relu_does_to_the_loss(make_task: MakeTask) -> None:
    task = make_task(100)
    before = ReluMap.of(task.network)
    scores = relu_saliency(task, "channel")
    assert ReluMap.of(task.network) == before
    network = task.network.train()
    indicators = insert_indicators(network, SoftIndicator, "channel")
    network.double()
    name, step = "stages.1.0.relu1", 1e-6

    def loss() -> Any:
        with torch.no_grad():
            pairs = sample_batches(network, task)
            return sum(float(functional.cross_entropy(network(x.double()), labels)) for x, labels in pairs)

    for channel in range(4):
        change = []
        for sign in (1, -1):
            indicators[name].alpha.data[0, channel] = 1 + sign * step
            change.append(loss())
        indicators[name].alpha.data[0, channel] = 1
        slope = abs(change[0] - change[1]) / (2 * step)
        assert float(scores[name][channel]) == pytest.approx(slope, rel=0.05)
