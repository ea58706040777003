"""The chances that an artifact states are those of its graph, its ranges and its ring: never less, hardly more."""

from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from pi_system.artifact.model import Masks
from pi_system.export.exporter import lower
from pi_system.export.random import randomise
from pi_system.export.ranges import Ranges, sum_log2, tail_log2
from pi_system.export.scales import ScaleOptions, ScalePlan, assign_scales
from pi_system.secure.schedule import Truncation, plan
from pi_system.train.relu import MaskedReLU

SHAPE = (3, 8, 8)
PEAKS = np.full(16, 0.9)
MEAN = 0.2


def planned(kind: str) -> tuple[ScalePlan, Ranges, Masks]:
    """``skipped``: most positions have no ReLU; ``way``: two layers without one; ``before``: truncated before it."""
    relu = MaskedReLU((6, 8, 8), stage=1, block=0)
    relu.set_mask(torch.from_numpy(np.random.default_rng(0).random((6, 8, 8)) < (0.1 if kind == "skipped" else 1.0)))
    layers = [nn.Conv2d(3, 6, 3, padding=1), *([] if kind == "way" else [relu]), nn.Conv2d(6, 4, 3, padding=1)]
    draft = lower(randomise(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)), SHAPE, 1), SHAPE)
    graph, weights = draft.graph(), draft.float_weights()
    weights = {name: np.zeros_like(value) if name.endswith(".bias") else value for name, value in weights.items()}
    peaks = PEAKS[:, None]
    ranges = Ranges(
        channels={node.name: peaks for node in graph},
        compared_channels={node.name: peaks for node in graph.relus()},
        sums={node.name: np.full((16, 1), MEAN * prod(node.shape)) for node in graph},
    )
    options = ScaleOptions(
        ring_bits=48,
        frac_bits=8,
        weight_bits=9,
        margin_bits=1,
        overflow_log2=0.0,
        truncate_before_relu=kind == "before",
    )
    found = assign_scales(graph, weights, ranges, options)
    assert found is not None
    return found, ranges, draft.masks


@pytest.mark.parametrize("kind", ["skipped", "way", "before"])
def test_the_chance_that_a_truncation_fails_is_not_understated(kind: str) -> None:
    """Of every truncated element (|y| + 2^t) / 2^l, with a bit of margin for |y|."""
    found, _, masks = planned(kind)
    graph, ring = found.graph, found.ring
    nodes = {node.name: node for node in graph}
    steps = [s for s in plan(graph, ring, masks, "logits").steps if isinstance(s, Truncation)]
    assert [step.name.endswith("/passive") for step in steps] == [kind == "skipped"] * (2 if kind == "before" else 1)
    chance = 0.0
    for step in steps:
        (source,) = nodes[step.name.removesuffix("/passive")].inputs
        total = 2 * MEAN * prod(nodes[source].shape) * 2.0 ** ring.frac_bits[source]
        chance += (total + step.spec.count * 2.0**step.spec.shift) / 2.0**ring.ring_bits
    assert ring.truncation_log2 == pytest.approx(np.log2(chance), abs=1e-6)


@pytest.mark.parametrize("kind", ["skipped", "way", "before"])
def test_the_chance_to_leave_a_range_is_not_understated(kind: str) -> None:
    """Any value must fit the ring, what a ReLU compares |y| < 2^(k-1) - 2^t."""
    found, ranges, _ = planned(kind)
    ring = found.ring
    chances = [tail_log2(PEAKS, 2.0 ** (ring.ring_bits - 1 - ring.frac_bits[name])) for name in ranges.channels]
    shifts = []
    for node in found.graph.relus():
        operand = ring.frac_bits[node.inputs[0]]
        shifts.append(operand - ring.frac_bits[node.name])
        limit = 2 ** (ring.comparison_bits[node.name] - 1) - (2 ** shifts[-1] if shifts[-1] else 0)
        chances.append(tail_log2(PEAKS, limit / 2.0**operand))
    assert any(shifts) == (kind != "before")
    assert sum_log2(chances) == pytest.approx(ring.overflow_log2, abs=1e-6)
