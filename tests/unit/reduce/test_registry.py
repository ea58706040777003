from typing import Any

import pytest

from pi_system.errors import ConfigError
from pi_system.reduce import METHODS, DeepReduce, make_method
from pi_system.reduce.job import budget_of


def test_options_are_read_as_their_types() -> None:
    assert make_method("deepreduce", {"order": "3,2,4,1"}) == DeepReduce(order="3,2,4,1")
    assert make_method("deepreduce", {"criticality_epochs": "5"}) == DeepReduce(criticality_epochs=5)


def test_truth_is_read_from_words() -> None:
    assert make_method("deepreduce", {"keep": "3", "thin": "true"}) == DeepReduce(keep="3", thin=True)
    assert make_method("deepreduce", {"keep": "3", "thin": "no"}) == DeepReduce(keep="3", thin=False)


def test_every_method_can_be_made_without_options() -> None:
    for name, kind in METHODS.items():
        assert make_method(name, {}) == kind()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("magic", {}, "expected one of deepreshape, deepreduce, gradual, snl"),
        ("deepreduce", {"speed": "1"}, "expected options order, criticality_epochs, .*; found 'speed'"),
        ("snl", {"reshape": "true"}, "found 'reshape'; reshape is an option of deepreduce$"),
        ("deepreduce", {"criticality_epochs": "many"}, "expected int; found 'many'"),
        ("deepreduce", {"thin": "perhaps"}, "expected bool; found 'perhaps'"),
    ],
)
def test_bad_methods_and_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(name, options)


def test_budget_from_number_or_fraction() -> None:
    assert budget_of(1001, 7, None) == 7
    assert budget_of(1001, None, 0.5) == 500
    for budget, fraction in ((None, None), (5, 0.5), (None, 0.0), (None, 1.5)):
        with pytest.raises(ConfigError, match="expected"):
            budget_of(1001, budget, fraction)
