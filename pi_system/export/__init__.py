"""Export: a torch module becomes an artifact."""

from pi_system.export.exporter import export_network
from pi_system.export.quantise import QuantiseOptions
from pi_system.export.random import random_artifact

__all__ = ["QuantiseOptions", "export_network", "random_artifact"]
