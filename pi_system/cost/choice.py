"""Choices by predicted cost, with the calibration that ships: parties of one version choose alike."""

from collections.abc import Sequence
from typing import Final, Literal, TypeVar

from pi_system.artifact.model import PublicArtifact
from pi_system.channel.shaped import Link
from pi_system.cost.calibration import default_calibration
from pi_system.cost.predict import online_ms

TwoPartyGate = Literal["gmw", "gc"]

_Name = TypeVar("_Name", bound=str)
_GATES: Final[tuple[TwoPartyGate, ...]] = ("gmw", "gc")


def faster_gate(public: PublicArtifact, link: Link) -> TwoPartyGate:
    """The ReLU without a dealer with the lower predicted online time."""
    return _fastest(public, link, _GATES)


def _fastest(public: PublicArtifact, link: Link, backends: Sequence[_Name]) -> _Name:
    return min(backends, key=lambda name: online_ms(public, name, link, default_calibration()))
