"""Choices by predicted cost, with the calibration that ships: parties of one version choose alike."""

from pi_system.artifact.model import PublicArtifact
from pi_system.backends.two_party.gates import TWO_PARTY_GATES, too_wide
from pi_system.channel.shaped import Link
from pi_system.cost.calibration import default_calibration
from pi_system.cost.predict import online_ms
from pi_system.secure.schedule import plan


def faster_gate(public: PublicArtifact, link: Link) -> str:
    """The backend without a dealer with the lowest predicted online time, of those that have prices and run it."""
    calibration, schedule = default_calibration(), plan(public.public.graph, public.public.ring, public.masks, "logits")
    able = [name for name in TWO_PARTY_GATES if name in calibration.backends and not too_wide(name, schedule)]
    return min(able, key=lambda name: online_ms(public, name, link, calibration))
