"""The cost model orders what was measured in that order."""

import pytest
from scaled_artifact import relu_artifact

from pi_system.program.online_cost import choose_variant, online_ms

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


@pytest.mark.parametrize("link", [(float("inf"), 0.0), (1e9, 3e-4), (1e8, 4e-2)])
def test_the_variant_with_the_lower_prediction_is_chosen(link: tuple[float, float]) -> None:
    chosen = choose_variant(GRAPH, RING, link)
    other = "arith" if chosen == "bit" else "bit"
    assert online_ms(GRAPH, RING, link, chosen) <= online_ms(GRAPH, RING, link, other)


def test_a_bit_more_each_way_outweighs_the_faster_key_only_on_the_slowest_links() -> None:
    assert choose_variant(GRAPH, RING, (float("inf"), 0.0)) == "bit"
    assert choose_variant(GRAPH, RING, (1e5, 0.0)) == "arith"
