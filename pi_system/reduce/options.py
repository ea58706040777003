"""A method's options: fields of its dataclass that carry their own help text.

    granularity: str = option("pixel", "What one decision is about.", choices=("pixel", "channel"))

From this alone the command line reads, checks and explains them.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from math import isfinite
from typing import Any, TypeVar

from pi_system.errors import ConfigError

_T = TypeVar("_T", bool, int, float, str)
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def option(
    default: _T,
    text: str,
    *,
    choices: tuple[str, ...] | tuple[int, ...] = (),
    within: str = "",
    needs: tuple[str, ...] = (),
    unless: tuple[str, ...] = (),
) -> _T:
    """A field of a method's dataclass.

    Args:
        default: its value where nothing is said; options are read as its type.
        text: help, a sentence.
        choices: the values allowed, of a str or a number.
        within: the interval allowed, of a number without choices: ``[`` and ``]`` include their end, ``(`` and ``)``
            do not, as in ``(0, 1]`` or ``[1, inf)``.
        needs: options as ``name`` or ``name=value``; without one of them set so, this one has no effect.
        unless: options that, when set, leave this one without effect.
    """
    described = {"text": text, "choices": choices, "within": within, "needs": needs, "unless": unless}
    found: _T = field(default=default, metadata=described)
    return found


def epochs_of_new_weights() -> int:
    """The field ``extra_epochs`` of a method that trains a network of its own (``training.train_new``)."""
    text = "Trained from new weights, it needs more than a finetuning: so many epochs more."
    return option(0, text, within="[0, 100000]")


def rate_of_new_weights() -> float:
    """The field ``learning_rate`` beside it."""
    return option(0.1, "Of that training.", within="(0, inf)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option as it is explained; see ``option``."""

    name: str
    default: bool | int | float | str
    text: str
    choices: tuple[str, ...] | tuple[int, ...]
    within: str
    needs: tuple[str, ...]
    unless: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Its type, or its choices."""
        return "|".join(map(str, self.choices)) or type(self.default).__name__

    @property
    def condition(self) -> str:
        """When it has an effect; empty for always."""
        parts = ["only with " + " or ".join(self.needs)] if self.needs else []
        return ", ".join([*parts, *(["not with " + " or ".join(self.unless)] if self.unless else [])])

    def read(self, text: str) -> bool | int | float | str:
        """The value that ``text`` stands for.

        Raises:
            ConfigError: it stands for none.
        """
        kind = type(self.default)
        try:
            value = _TRUTH[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"{self.name}: expected {kind.__name__}; found {text!r}") from error
        if isinstance(value, float) and not isfinite(value):
            raise ConfigError(f"{self.name}: expected a finite number; found {text!r:.40}")
        if self.choices and value not in self.choices:
            raise ConfigError(f"{self.name}: expected one of {', '.join(map(str, self.choices))}; found {text!r:.40}")
        if self.within and not isinstance(value, str) and not _is_within(value, self.within):
            raise ConfigError(f"{self.name}: expected {kind.__name__} in {self.within}; found {text!r:.40}")
        return value


def _is_within(value: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    return (low < value or (interval[0] == "[" and value == low)) and (
        value < high or (interval[-1] == "]" and value == high)
    )


def options_of(method: type[Any]) -> dict[str, Option]:
    """The options of a method's class by name."""
    return {one.name: _described(one) for one in fields(method)}


def _described(one: "Field[Any]") -> Option:
    if one.default is MISSING or "text" not in one.metadata:
        raise TypeError(f"{one.name}: expected a field made by option()")
    return Option(name=one.name, default=one.default, **one.metadata)


def read_options(method: type[Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Values of the options given as text.

    Raises:
        ConfigError: an unknown option, a value that cannot be read, or an option without effect beside the others.
    """
    known = options_of(method)
    for name in given:
        if name not in known:
            raise ConfigError(f"expected options {', '.join(known) or '(it has none)'}; found {name!r}")
    values = {name: known[name].read(text) for name, text in given.items()}
    settings = {name: one.default for name, one in known.items()} | values
    for name in given:
        _check_used(known[name], settings, known)
    return values


def _check_used(one: Option, settings: Mapping[str, object], known: Mapping[str, Option]) -> None:
    if settings[one.name] == one.default:
        return

    def is_set(condition: str) -> bool:
        name, _, value = condition.partition("=")
        return str(settings[name]) == value if value else settings[name] != known[name].default

    if one.needs and not any(map(is_set, one.needs)):
        raise ConfigError(f"{one.name}: has an effect only with {' or '.join(one.needs)}; set that or leave it out")
    clashing = [name for name in one.unless if is_set(name)]
    if clashing:
        raise ConfigError(f"{one.name}: has no effect with {clashing[0]}; leave one of the two out")
