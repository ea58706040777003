"""Options that explain themselves: every registered method's, and the rules on a small one."""

from dataclasses import dataclass
from typing import Any

import pytest

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce import METHODS
from pi_system.reduce.options import option, options_of, read_options
from pi_system.reduce.presets import presets_of
from pi_system.reduce.registry import describe, reaching
from pi_system.train import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class _Small:
    unit: str = option("pixel", "The unit.", choices=("pixel", "channel"))
    rate: float = option(0.5, "The rate.", within="[0, inf)", needs=("unit=channel", "deep"))
    deep: bool = option(False, "Whether.")
    order: str = option("", "The order.", unless=("deep",))
    share: float = option(1.0, "The share.", within="(0, 1]")
    count: int = option(2, "The count.", within="[2, inf)")
    stages: int = option(3, "The stages.", choices=(3, 5))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is(name: str) -> None:
    card = describe(name)
    for text in (card.summary, card.reduces, card.source, *(one.text for one in card.options)):
        assert len(text) > 3
        assert text.isascii()
    assert card.summary.endswith(".")
    known = options_of(METHODS[name])
    for one in card.options:
        assert one.text.endswith((".", "?")), one.name
        assert not one.choices or one.default in one.choices
        assert bool(one.within or one.choices) >= (type(one.default) in (int, float)), one.name
        assert not one.within or not one.choices, one.name
        assert one.read(str(one.default)) == one.default
        assert {part.partition("=")[0] for part in (*one.needs, *one.unless)} <= set(known)


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_is_a_recipe_and_options(name: str) -> None:
    presets = presets_of(METHODS[name])
    assert "fast" in presets
    for preset in presets.values():
        TrainConfig(**preset.recipe)
        read_options(METHODS[name], preset.options)


def test_values_are_read_as_the_defaults_types() -> None:
    given = {"unit": "channel", "rate": "2", "deep": "yes"}
    assert _Small(**read_options(_Small, given)) == _Small(unit="channel", rate=2.0, deep=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": "1"}, "expected options unit, rate, deep, order, share, count, stages; found 'size'"),
        ({"unit": "row"}, "unit: expected one of pixel, channel; found 'row'"),
        ({"unit": "channel", "rate": "fast"}, "rate: expected float; found 'fast'"),
        ({"unit": "channel", "rate": "nan"}, "rate: expected a finite number; found 'nan'"),
        ({"unit": "channel", "rate": "1e999"}, "rate: expected a finite number; found '1e999'"),
        ({"rate": "2"}, "rate: has an effect only with unit=channel or deep; set that or leave it out"),
        ({"share": "0"}, r"share: expected float in \(0, 1\]; found '0'"),
        ({"share": "1.01"}, "share: expected float in .*; found '1.01'"),
        ({"count": "1"}, r"count: expected int in \[2, inf\); found '1'"),
        ({"stages": "4"}, "stages: expected one of 3, 5; found '4'"),
        ({"deep": "true", "order": "1"}, "order: has no effect with deep; leave one of the two out"),
    ],
)
def test_what_cannot_be_used_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(_Small, given)


def test_the_ends_of_an_interval_are_allowed_where_it_has_them() -> None:
    assert read_options(_Small, {"share": "1", "count": "2", "stages": "5"}) == {"share": 1.0, "count": 2, "stages": 5}
    assert read_options(_Small, {"share": "1e-300", "count": "9" * 30}) == {"share": 1e-300, "count": int("9" * 30)}


def test_an_option_at_its_default_is_never_unused() -> None:
    assert read_options(_Small, {"rate": "0.5", "deep": "no"}) == {"rate": 0.5, "deep": False}


def test_a_field_without_a_text_is_a_mistake() -> None:
    @dataclass
    class Silent:
        size: int = 1

    with pytest.raises(TypeError, match="expected a field made by option"):
        options_of(Silent)


def test_a_budget_out_of_reach_names_what_reaches_it() -> None:
    error = BudgetError(32, "one stage", 7)
    assert (error.least, str(error)) == (32, "budget: expected at least 32 ReLUs, one stage; found 7")
    assert "gradual" in reaching(7, "deepreduce", {})
    assert reaching(7, "senet", {"granularity": "channel"}) == "--set granularity=pixel keeps any number"
    assert "at least 1" in reaching(0, "snl", {})
