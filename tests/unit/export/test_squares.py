"""Ring parameters of networks with squares: where truncations go, and which rings are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from pi_system.artifact.graph import Square
from pi_system.errors import ConfigError, FixedPointRangeError
from pi_system.export import QuantiseOptions, random_artifact
from pi_system.export.exporter import lower
from pi_system.export.random import random_pictures, randomise
from pi_system.export.ranges import calibrate
from pi_system.export.scales import MAX_TRUNCATION_LOG2
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.train import square

SHAPE = (3, 8, 8)


def network(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        square.Square(),
        *middle,
        nn.Conv2d(6, 4, 3, padding=1),
        square.Square(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def test_operand_and_result_are_truncated() -> None:
    options = QuantiseOptions(truncate_before_relu=True)
    artifact = random_artifact(network(), SHAPE, 1, "squares", options)
    graph, ring = artifact.public.graph, artifact.public.ring
    nodes = {node.name: node for node in graph}
    frac_bits = ring.frac_bits["input"]
    assert 32 < ring.ring_bits <= 59
    for node, halvings in zip(graph.squares(), (4, 2), strict=True):
        assert nodes[node.inputs[0]].op == "truncate"
        assert ring.frac_bits[node.inputs[0]] == frac_bits
        assert ring.frac_bits[node.name] == 2 * frac_bits + halvings
        assert 2 * ring.comparison_bits[node.name] - 1 <= ring.ring_bits
    after = next(node for node in graph if node.inputs == ("2",))
    assert (after.op, ring.frac_bits[after.name]) == ("truncate", frac_bits)
    assert ring.truncation_log2 <= MAX_TRUNCATION_LOG2
    pictures = random_pictures(SHAPE, 8, 5)
    _, found = fixed_logits(artifact, pictures, check_range=True)
    assert np.abs(found - float_logits(artifact, pictures)).max() < 0.03


@pytest.mark.parametrize("ring_bits", [24, 32])
def test_a_ring_without_room_is_refused(ring_bits: int) -> None:
    with pytest.raises(ConfigError, match="ring"):
        random_artifact(network(), SHAPE, 1, "squares", QuantiseOptions(ring_bits=ring_bits))


def test_values_beyond_float_are_refused() -> None:
    module = network(*[square.Square(0) for _ in range(8)])
    with torch.no_grad():
        module[0].weight.mul_(1e4)  # type: ignore[index]
        module[1].weight.fill_(1e4)  # type: ignore[index]
    draft = lower(module.eval(), SHAPE)
    with pytest.raises(FixedPointRangeError, match="expected finite values"):
        calibrate(draft.graph(), {}, draft.float_weights(), random_pictures(SHAPE, 2, 1))


def test_random_weights_of_deep_squares_keep_their_range() -> None:
    layers = [layer for _ in range(12) for layer in (nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), square.Square())]
    module = randomise(network(*layers), SHAPE, 1)
    peaks: list[float] = []
    for child in module.modules():
        if isinstance(child, square.Square):
            child.register_forward_hook(lambda _, inputs, __: peaks.append(float(inputs[0].abs().max())))
    with torch.no_grad():
        module(torch.from_numpy(random_pictures(SHAPE, 8, 3)))
    assert len(peaks) == 14
    assert 0.1 < min(peaks[:13])
    assert max(peaks) < 10


def test_one_node_a_module() -> None:
    graph = random_artifact(network(), SHAPE, 1, "squares").public.graph
    assert [node.halvings for node in graph if isinstance(node, Square)] == [4, 2]
