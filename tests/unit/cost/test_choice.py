"""Choices follow bytes, round trips and prices."""

from scaled_artifact import relu_artifact

from pi_system.channel.shaped import Link
from pi_system.cost import choose_variant, default_calibration, faster_gate, predict

ARTIFACT = relu_artifact(weight_scale=1.0)
"""512 ReLUs in two layers, k = 24."""
LINKS = (Link(float("inf"), 0.0), Link(1e9, 3e-4), Link(1e8, 40e-3), Link(1e6, 1e-3))


def test_few_relus_on_a_slow_round_trip_are_garbled_and_many_bytes_are_not():
    assert faster_gate(ARTIFACT, Link(1e8, 40e-3)) == "gc"
    assert faster_gate(ARTIFACT, Link(1e6, 1e-3)) == "gmw"


def test_the_variant_with_the_lower_prediction_is_chosen():
    for link in LINKS:
        chosen = predict(ARTIFACT, f"fss-{choose_variant(ARTIFACT, link)}", link, default_calibration())
        assert chosen.online_ms == predict(ARTIFACT, "fss", link, default_calibration()).online_ms


def test_a_bit_more_each_way_outweighs_the_faster_key_only_on_the_slowest_links():
    assert choose_variant(ARTIFACT, LINKS[1]) == "bit"
    assert choose_variant(ARTIFACT, Link(1e4, 0.0)) == "arith"
