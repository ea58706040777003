"""The cost model orders what was measured in that order."""

import pytest
from scaled_artifact import relu_artifact

from pi_system.program.online_cost import online_ms

PUBLIC = relu_artifact(weight_scale=1.0).public
GRAPH, RING = PUBLIC.graph, PUBLIC.ring


def test_slower_links_wider_rings_and_longer_comparisons_cost_more() -> None:
    base = online_ms(GRAPH, RING, (1e9, 3e-4))
    wide = RING.model_copy(update={"ring_bits": 64})
    long = RING.model_copy(update={"comparison_bits": {"relu1": 31, "relu2": 31}})
    assert online_ms(GRAPH, RING, (1e8, 3e-4)) > base
    assert online_ms(GRAPH, RING, (1e9, 4e-2)) > base
    assert online_ms(GRAPH, wide, (1e9, 3e-4)) > base
    assert online_ms(GRAPH, long, (1e9, 3e-4)) > base


def test_round_trips_are_one_a_relu_layer_and_one() -> None:
    difference = online_ms(GRAPH, RING, (1e9, 1.0)) - online_ms(GRAPH, RING, (1e9, 0.0))
    assert difference == pytest.approx(3000.0)
