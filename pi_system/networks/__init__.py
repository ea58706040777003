"""Networks that come with the package, trained and exported: a folder each, an artifact with a ``card.json``."""

from pi_system.networks.builtin import (
    BUILTIN_PREFIX,
    MeasuredCost,
    NetworkCard,
    artifact_folder,
    builtin_names,
    read_card,
)

__all__ = ["BUILTIN_PREFIX", "MeasuredCost", "NetworkCard", "artifact_folder", "builtin_names", "read_card"]
