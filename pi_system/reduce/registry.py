"""Reduction methods by name, with their options read from text."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pi_system.errors import ConfigError
from pi_system.reduce.deepreduce import DeepReduce
from pi_system.reduce.method import ReductionMethod

__all__ = ["METHODS", "make_method"]

METHODS: dict[str, type[Any]] = {"deepreduce": DeepReduce}


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
            values[key] = kinds[key](text)
        except ValueError as error:
            raise ConfigError(f"method {name}, {key}: expected {kinds[key].__name__}; found {text!r}") from error
    method: ReductionMethod = METHODS[name](**values)
    return method
