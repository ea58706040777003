"""Choices by predicted cost, with the calibration that ships: parties of one version choose alike."""

from pi_system.artifact.model import PublicArtifact
from pi_system.backends.registry import AUTO_BACKENDS, runnable
from pi_system.channel.link import Link
from pi_system.cost.calibration import default_calibration
from pi_system.cost.predict import online_ms


def faster_gate(public: PublicArtifact, link: Link) -> str:
    """The backend without a dealer with the lowest predicted online time, of those that have prices and run it."""
    calibration = default_calibration()
    able = runnable(public.public, (name for name in AUTO_BACKENDS if name in calibration.backends))
    return min(able, key=lambda name: online_ms(public, name, link, calibration))
