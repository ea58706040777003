"""Recipes by name: ``fast`` for CIFAR in a few epochs on CPU cores, ``small`` for sets as the digits, ``paper``."""

from collections.abc import Mapping
from typing import Any

from pi_system.errors import ConfigError
from pi_system.train.config import TrainConfig

Recipe = Mapping[str, Any]
"""Fields of a ``TrainConfig`` by name."""

# One cycle: Smith and Topin, 2017, arXiv 1708.07120.
_FAST: Recipe = {
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": 0.2,
    "schedule": "onecycle",
    "warmup": 0.2,
    "decay": "weights",
    "label_smoothing": 0.05,
    "crop": "reflect",
}

PLAIN_PRESETS: Mapping[str, Recipe] = {
    "fast": _FAST,
    # A thousand pictures make few steps an epoch.
    "small": {**_FAST, "epochs": 15, "learning_rate": 0.1},
    # SNL's pretraining: NYU-DICE-Lab's code for arXiv 2202.02340.
    "paper": {
        "epochs": 160,
        "batch_size": 256,
        "learning_rate": 0.1,
        "schedule": "multistep",
        "nesterov": False,
    },
}
"""Of training a network with all its ReLUs."""


def recipe_of(presets: Mapping[str, Recipe], name: str, given: Recipe) -> TrainConfig:
    """The preset with this name, where ``given`` says nothing else.

    Raises:
        ConfigError: no such preset, or a field outside its limits.
    """
    if name not in presets:
        raise ConfigError(f"preset: expected one of {', '.join(presets)}; found {name!r}")
    return TrainConfig(**{**presets[name], **given})
