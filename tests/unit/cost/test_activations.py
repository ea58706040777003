"""One activation layer by itself, as planners ask for it."""

from typing import Any

import pytest

from pi_system.cost import activation_ms, default_calibration
from pi_system.errors import ConfigError

PRICES = default_calibration()


@pytest.mark.parametrize("backend", ["gmw", "gc"])  # ``table`` costs fewer bytes than a square
def test_squares_cost_less_than_relus_without_a_dealer(backend: Any) -> None:
    for count in (100, 20_000):
        relu, square = (activation_ms(kind, count, backend, "lan", PRICES) for kind in ("relu", "square"))
        assert 0 < square < relu
    assert activation_ms("relu", 0, backend, "lan", PRICES) == 0


def test_a_dealers_relus_cost_less_than_squares() -> None:
    """By bytes, over a link that they take time on; over a fast one it is the machine that decides."""
    relu, square = (activation_ms(kind, 20_000, "fss", "wan", PRICES) for kind in ("relu", "square"))
    assert relu < square


def test_more_activations_and_a_slower_link_cost_more() -> None:
    few, many = (activation_ms("relu", count, "fss", "lan", PRICES) for count in (1000, 100_000))
    assert few < many
    # A square takes one round trip, 40 ms over a wan.
    assert activation_ms("square", 1, "gmw", "wan", PRICES) > 40 > activation_ms("square", 1, "gmw", "lan", PRICES)


def test_a_backend_in_lockstep_is_refused() -> None:
    with pytest.raises(ConfigError, match="backend: expected one of gmw, gc, table, fss; found 'crypten'"):
        activation_ms("relu", 1, "crypten", "lan", PRICES)
