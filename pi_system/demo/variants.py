"""The networks that the demo races: a built-in one, and the same one trained on with half of its ReLUs."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

Relus = Literal["full", "half"]
RELUS: Final[tuple[Relus, ...]] = get_args(Relus)
NETWORKS: Final[Mapping[Relus, str]] = {"full": "cifar10", "half": "cifar10-half"}
"""Names of built-in networks."""
