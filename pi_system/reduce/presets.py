"""Presets of the methods: a recipe of the finetuning and options, by name.

``fast`` is for a few epochs on CPU cores; ``paper``, where a method has one, is what its paper or its authors' code
says. A method's class may have ``PRESETS``, which replaces ``fast`` or adds to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pi_system.errors import ConfigError
from pi_system.train.presets import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Fields of a ``TrainConfig``, and options of the method as text."""

    recipe: Recipe
    options: Mapping[str, str] = field(default_factory=dict)


FAST = Preset(recipe={"epochs": 10, "batch_size": 64, "learning_rate": 0.05, "decay": "weights", "crop": "reflect"})
"""By two trials of a method of masks and of one of filters on pictures kept for it (benchmarks/study/methods.toml)."""
POLYNOMIALS = Preset(recipe={**FAST.recipe, "learning_rate": 0.015})
"""By two trials of Delphi's planner: where ReLUs become squares, the lower rate was better."""


def presets_of(method: type[Any]) -> dict[str, Preset]:
    """The presets of a method's class."""
    return {"fast": FAST, **getattr(method, "PRESETS", {})}


def preset_of(method: type[Any], name: str) -> Preset:
    """The preset ``name`` of a method's class.

    Raises:
        ConfigError: it has no such preset.
    """
    presets = presets_of(method)
    if name not in presets:
        raise ConfigError(f"preset: expected one of {', '.join(presets)} for this method; found {name!r}")
    return presets[name]
