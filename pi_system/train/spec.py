"""Names of networks, such as ``resnet18:m=16`` or ``hrn-5x5x3x:m=16,classes=10,size=8,channels=1``.

Every command and benchmark names its network in this one form. A BasicBlock residual network is fixed by its
stem width m, three stage multipliers and the number of blocks in each stage; ResNet18, ResNet34 and all
HybReNets are instances of that family.

Source: stage widths of HRN-AxBxCx are (m, A m, A B m, A B C m): Jha and Reagen, TMLR 2024, arXiv 2304.10593.
"""

import re
from dataclasses import dataclass

from pi_system.errors import ConfigError

__all__ = ["NetworkSpec"]

_RESNET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
_HRN_BLOCKS = {"hrn": _RESNET_BLOCKS["resnet18"], "hrn34": _RESNET_BLOCKS["resnet34"]}
_HRN_NAME = re.compile(r"(hrn|hrn34)-([1-9]\d?)x([1-9]\d?)x([1-9]\d?)x")
_LIMITS = {"m": (1, 4096), "classes": (2, 100_000), "size": (4, 1024), "channels": (1, 3)}
_DEFAULTS = {"classes": 100, "size": 32, "channels": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """What is needed to build a network.

    ``base`` is ``resnet18``, ``resnet34``, ``hrn-AxBxCx`` (ResNet18's blocks) or ``hrn34-AxBxCx`` (ResNet34's
    blocks); ``m`` the width of the stem and first stage; ``size`` the height and width of the input in
    pixels; ``channels`` the input's channels.

    Raises:
        ConfigError: a value is outside its limits, or the base is unknown.
    """

    base: str
    m: int
    classes: int = _DEFAULTS["classes"]
    size: int = _DEFAULTS["size"]
    channels: int = _DEFAULTS["channels"]

    def __post_init__(self) -> None:
        """Check every field."""
        if self.base not in _RESNET_BLOCKS and not _HRN_NAME.fullmatch(self.base):
            known = ", ".join([*_RESNET_BLOCKS, "hrn-AxBxCx", "hrn34-AxBxCx"])
            raise ConfigError(f"network: expected one of {known}; found {self.base!r}")
        for field, (low, high) in _LIMITS.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigError(f"network {self.base}: expected {field} from {low} to {high}; found {value}")
        if self.channels == 2:
            raise ConfigError(f"network {self.base}: expected channels=1 or channels=3; found 2")

    @classmethod
    def parse(cls, text: str, **context: int) -> "NetworkSpec":
        """Read ``BASE[:key=value,...]``; keys are m, classes, size and channels.

        Args:
            text: the name, in any letter case.
            **context: what a data set fixes (classes, size, channels). It fills keys the text leaves out.

        Raises:
            ConfigError: the text cannot be read, or says something else than the context.
        """
        base, _, options = text.strip().lower().partition(":")
        values = {"m": 16 if base.startswith("hrn") else 64, **_DEFAULTS, **context}
        given = _parse_options(text, options)
        for key, value in given.items():
            if context.get(key, value) != value:
                raise ConfigError(f"network {text!r}: {key}={value}, but the data set has {key}={context[key]}")
        values.update(given)
        return cls(base=base, **values)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of BasicBlocks in each stage."""
        return _RESNET_BLOCKS.get(self.base) or _HRN_BLOCKS[self.base.partition("-")[0]]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage; the stem has the first stage's."""
        match = _HRN_NAME.fullmatch(self.base)
        alpha, beta, gamma = map(int, match.groups()[1:]) if match else (2, 2, 2)
        return (self.m, alpha * self.m, alpha * beta * self.m, alpha * beta * gamma * self.m)

    def __str__(self) -> str:
        """Canonical form: m always, other keys where they differ from 100 classes, size 32, 3 channels."""
        others = [f"{key}={getattr(self, key)}" for key, value in _DEFAULTS.items() if getattr(self, key) != value]
        return f"{self.base}:" + ",".join([f"m={self.m}", *others])


def _parse_options(text: str, options: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in filter(None, options.split(",")):
        key, _, value = item.partition("=")
        if key not in _LIMITS or key in found or not value.isdecimal():
            raise ConfigError(
                f"network {text!r}: expected key=number with each of {', '.join(_LIMITS)} at most once; found {item!r}"
            )
        found[key] = int(value)
    return found
