"""Choices follow bytes, round trips and prices."""

from scaled_artifact import relu_artifact

from pi_system.channel.shaped import Link
from pi_system.cost import faster_gate

ARTIFACT = relu_artifact(weight_scale=1.0)
"""512 ReLUs in two layers, k = 24."""


def test_few_relus_on_a_slow_round_trip_are_garbled_and_many_bytes_are_not():
    assert faster_gate(ARTIFACT, Link(1e8, 40e-3)) == "gc"
    assert faster_gate(ARTIFACT, Link(1e6, 1e-3)) == "gmw"
