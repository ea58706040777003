"""The choice between the two ReLUs without a dealer follows bytes and round trips."""

import pytest
from scaled_artifact import relu_artifact

from pi_system.runtime.gate_choice import faster_gate, predicted_gate_ms

ARTIFACT = relu_artifact(weight_scale=1.0)
"""512 ReLUs in two layers, k = 24."""


def test_few_relus_on_a_slow_round_trip_are_garbled_and_many_bytes_are_not():
    assert faster_gate(ARTIFACT, (1e8, 40e-3)) == "gc"
    assert faster_gate(ARTIFACT, (1e6, 1e-3)) == "gmw"
    assert faster_gate(ARTIFACT, (float("inf"), 0.0)) == "gmw"


@pytest.mark.parametrize(("gate", "trips"), [("gmw", 4), ("gc", 2)])
def test_round_trips_are_the_declared_ones(gate, trips):
    slow, fast = (predicted_gate_ms(ARTIFACT, gate, (float("inf"), rtt)) for rtt in (1.0, 0.0))
    assert slow - fast == pytest.approx(1000 * trips)
