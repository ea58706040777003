"""Reduction methods by name, with their options read from text."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pi_system.errors import ConfigError
from pi_system.reduce.controls import Narrower, RandomMask
from pi_system.reduce.deepreduce import DeepReduce
from pi_system.reduce.deepreshape import DeepReShape
from pi_system.reduce.method import ReductionMethod
from pi_system.reduce.senet import SeNet
from pi_system.reduce.shallow import Shallow
from pi_system.reduce.snl import Snl

__all__ = ["METHODS", "make_method"]

METHODS: dict[str, type[Any]] = {
    "deepreshape": DeepReShape,
    "deepreduce": DeepReduce,
    "snl": Snl,
    "senet": SeNet,
    "shallow": Shallow,
    "random": RandomMask,
    "narrower": Narrower,
}

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def make_method(name: str, options: Mapping[str, str]) -> ReductionMethod:
    """Build a method.

    Args:
        name: one of ``METHODS``.
        options: fields of the method by name; each value is read as the type of the field's default.

    Raises:
        ConfigError: unknown method or option, or a value that cannot be read.
    """
    if name not in METHODS:
        raise ConfigError(f"method: expected one of {', '.join(METHODS)}; found {name!r}")
    kinds: dict[str, type[Any]] = {field.name: type(field.default) for field in fields(METHODS[name])}
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in kinds:
            raise ConfigError(f"method {name}: expected options {', '.join(kinds)}; found {key!r}")
        try:
            values[key] = _TRUTH[text.lower()] if kinds[key] is bool else kinds[key](text)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"method {name}, {key}: expected {kinds[key].__name__}; found {text!r}") from error
    method: ReductionMethod = METHODS[name](**values)
    return method
