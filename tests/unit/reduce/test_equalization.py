from typing import Any

import pytest

from pi_system.errors import ConfigError
from pi_system.reduce.equalization import equalized_multipliers, multiplier_name
from pi_system.train import NetworkSpec, build_network, named_relus


def _names(*arguments: Any, **options: Any) -> Any:
    return [multiplier_name(found) for found in equalized_multipliers(*arguments, **options)]


def test_the_four_hybrenets_of_resnet18() -> None:
    assert _names((2, 2, 2, 2)) == ["5x5x3x", "5x7x2x", "6x6x2x", "7x5x2x"]


def test_hybrenet_of_resnet34() -> None:
    assert "4x6x3x" in _names((3, 4, 6, 3))


def test_low_budget_networks_leave_out_the_culled_stage() -> None:
    found = _names((2, 2, 2, 2), (3, 2, 4), alpha=2)
    assert {"2x5x3x", "2x6x2x", "2x7x2x"} <= set(found)
    assert found == ["2x5x2x", "2x5x3x", "2x6x2x", "2x7x2x"]


@pytest.mark.parametrize("order", [(3, 2, 4, 1), (4, 3, 2, 1), (2, 3, 4, 1)])
def test_built_networks_follow_the_order(order: tuple[int, ...]) -> None:
    for multipliers in equalized_multipliers((2, 2, 2, 2), order)[:2]:
        network = build_network(NetworkSpec.parse(f"hrn-{multiplier_name(multipliers)}:m=1,size=16"), device="meta")
        relus = dict.fromkeys(order, 0)
        for name, relu in named_relus(network).items():
            relus[relu.stage] += relu.size if name != "stem_relu" else 0
        assert sorted(order, key=relus.__getitem__, reverse=True) == list(order)


def test_bad_orders_are_refused() -> None:
    for order in ((1, 1, 2, 3), (1, 2, 3, 5)):
        with pytest.raises(ConfigError, match="order: expected different stages"):
            equalized_multipliers((2, 2, 2, 2), order)
