"""Names of networks, such as ``resnet18:m=16``, ``vgg16`` or ``hrn-5x5x3x:m=16,classes=10,size=8,channels=1``.

Every command and benchmark names its network in this one form, and a run directory stores it.

| base | blocks | stage widths |
|---|---|---|
| resnet18, resnet34 | basic | m, 2m, 4m, 8m |
| resnet32 | basic, 5 in each of 3 stages | m, 2m, 4m |
| basech | as resnet18: DeepReShape's family of different m | |
| stagech-A, A from 2 to 9 | as hrn-AxAxAx: its family of uniform multipliers | |
| hrn-AxBxCx, hrn34-AxBxCx | basic, as in ResNet18, ResNet34 | m, Am, ABm, ABCm |
| resnet50 | bottleneck | m, 2m, 4m, 8m inside, four times that between blocks |
| wrn-D-K | pre-activation basic, (D - 4) / 6 in each of 3 stages | Km, 2Km, 4Km; the stem has m |
| vgg16 | single convolutions | m, 2m, 4m, 8m, 8m |
| minionn | 2, 2 and 3 single convolutions, without normalisation | m, the last m/4 |
| cnet1, cnet2, cnet3 | CryptoNAS's networks; cnet, whose ``arch`` says it (train/macro.py) | m, 4m, 16m |
| sphynx-N, N 5, 6, 8, 10 | N cells of Sphynx; sphynx, whose ``arch`` says them (train/cells.py) | m, 4m, 16m |

``depth`` names a network with fewer convolutions: a digit a block, stages apart by dashes, such as
``22-12-13-10``. 2 is the block as it is, 1 has one 3x3 convolution in the place of two, 3 one with a kernel of the size
of the two's exact product (5x5; 7x7 with stride 2), 0 is no block.
``reuse=N`` has ReLUs on one of N groups of channels, which the others reuse (train/reuse.py).
``activation=square`` has the quadratic activation (train/square.py) in the place of every ReLU.
``filters`` names a narrowed network: how many channels each group of channels keeps (train/channels.py), as
``16.14.16.9``, in the order of execution.

Source: stage widths of HRN-AxBxCx: Jha and Reagen, TMLR 2024, arXiv 2304.10593; resnet32 with m=16 and minionn with
m=64, the networks of Delphi: mc2-project/delphi, python/resnet and python/minionn.
"""

import re
from dataclasses import dataclass
from typing import Any

from pi_system.errors import ConfigError
from pi_system.train.cells import ORDERS, SPHYNX_CELLS, parse_cells
from pi_system.train.macro import CNETS, parse_macro, third

_RESNET_BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet32": (5, 5, 5),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
}
_HRN_BLOCKS = {"hrn": _RESNET_BLOCKS["resnet18"], "hrn34": _RESNET_BLOCKS["resnet34"]}
_HRN_NAME = re.compile(r"(hrn|hrn34)-([1-9]\d?)x([1-9]\d?)x([1-9]\d?)x")
_ALIAS = re.compile(r"^stagech-([2-9])$")
_WRN_NAME = re.compile(r"wrn-([1-9]\d{1,2})-([1-9]\d?)")
_KNOWN = (
    *(*_RESNET_BLOCKS, "vgg16", "minionn", "wrn-22-8", "hrn-AxBxCx", "hrn34-AxBxCx", "basech", "stagech-A"),
    *(*CNETS, "sphynx-N"),
)
_SEARCHED = {
    **CNETS,
    **{f"sphynx-{cells}": f"{SPHYNX_CELLS}-{order}" for cells, order in ORDERS.items()},
    "cnet": "",
    "sphynx": "",
}
"""Architecture by base; ``arch`` where it is empty."""
_PUBLISHED_M = {"cnet1": 14, "cnet2": 28, "cnet3": 56, "sphynx": 5, "hrn": 16, "hrn34": 16, "wrn": 16, "resnet32": 16}
_LIMITS = {
    "m": (1, 4096),
    "classes": (2, 100_000),
    "size": (4, 1024),
    "channels": (1, 3),
    "stride": (1, 4),
    "reuse": (1, 64),
}
_DEFAULTS: dict[str, Any] = {
    "classes": 100,
    "size": 32,
    "channels": 3,
    "stride": 1,
    "reuse": 1,
    "depth": "",
    "activation": "relu",
    "filters": "",
    "arch": "",
}
_TEXT_KEYS = ("depth", "activation", "filters", "arch")
_FILTERS = re.compile(r"[1-9]\d*(\.[1-9]\d*)*")
_ACTIVATIONS = ("relu", "square")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """What is needed to build a network.

    ``m`` is the base width (see the table above); ``size`` the height and width of the input in pixels;
    ``channels`` the input's channels; ``stride`` that of the stem: 2 halves every feature map; ``reuse`` the number of
    groups of channels of which one has ReLUs.

    Raises:
        ConfigError: a value is outside its limits, or the base is unknown.
    """

    base: str
    m: int
    classes: int = 100
    size: int = 32
    channels: int = 3
    stride: int = 1
    reuse: int = 1
    depth: str = ""
    activation: str = "relu"
    filters: str = ""
    arch: str = ""

    def __post_init__(self) -> None:
        """Check every field."""
        if self.kind == "":
            raise ConfigError(f"network: expected one of {', '.join(_KNOWN)}; found {self.base!r}")
        for field, (low, high) in _LIMITS.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigError(f"network {self.base}: expected {field} from {low} to {high}; found {value}")
        if self.channels == 2:
            raise ConfigError(f"network {self.base}: expected channels=1 or channels=3; found 2")
        if self.activation not in _ACTIVATIONS:
            raise ConfigError(f"network {self.base}: expected activation relu or square; found {self.activation!r}")
        if self.activation == "square" and self.reuse > 1:
            raise ConfigError(f"network {self.base}: expected reuse=1 with activation=square; found {self.reuse}")
        if self.depth:
            self._check_depth()
        if self.filters and self.reuse > 1:
            raise ConfigError(f"network {self.base}: expected reuse=1 with filters; found {self.reuse}")
        if self.filters and not _FILTERS.fullmatch(self.filters):
            raise ConfigError(f"network {self.base}: expected filters like 16.14.9; found {self.filters!r}")
        self._check_arch()

    def _check_arch(self) -> None:
        given = _SEARCHED.get(self.base)
        if given == "" and not self.arch:
            published = ", ".join(name for name, arch in _SEARCHED.items() if arch and name.startswith(self.base))
            raise ConfigError(f"network {self.base}: expected arch=..., or a published one: {published}; found neither")
        if given != "" and self.arch:
            raise ConfigError(f"network {self.base}: expected no arch, which cnet and sphynx have; found {self.arch!r}")
        if given is None:
            return
        parse_macro(self.architecture) if self.kind == "macro" else parse_cells(self.architecture)
        if -(-self.size // self.stride) % 4:
            raise ConfigError(f"network {self.base}: expected a size, after the stem, of 4, 8, ...; found {self.size}")

    def _check_depth(self) -> None:
        highest = self.full_depth[0][0]
        stages = self.depth.split("-")
        lengths = [len(stage) for stage in stages]
        legal = all(digit in f"01{highest}3" for digit in "".join(stages))
        # The first stage may vanish into the stem; later ones change the width and the size.
        fixed = self.kind in ("bottleneck", "minionn", "macro", "cells")
        if fixed or lengths != list(self.blocks) or not legal or "0" in map(max, stages[1:]):
            expected = "-".join(self.full_depth)
            raise ConfigError(
                f"network {self.base}: expected a depth like {expected}, digits up to {highest} or 3, "
                f"no stage but the first all 0, no bottleneck blocks or cells, not minionn; found {self.depth!r}"
            )

    @classmethod
    def parse(cls, text: str, **context: int) -> "NetworkSpec":
        """Read ``BASE[:key=value,...]``; keys: m, classes, size, channels, stride, reuse, depth, activation and more.

        Args:
            text: the name, in any letter case.
            **context: what a data set fixes (classes, size, channels). It fills keys the text leaves out.

        Raises:
            ConfigError: the text cannot be read, or says something else than the context.
        """
        base, _, options = text.strip().lower().partition(":")
        base = _ALIAS.sub(r"hrn-\1x\1x\1x", "resnet18" if base == "basech" else base)
        values = {"m": _PUBLISHED_M.get(base.partition("-")[0], 64), **_DEFAULTS, **context}
        given = _parse_options(text, options)
        for key, value in given.items():
            if context.get(key, value) != value:
                raise ConfigError(f"network {text!r}: {key}={value}, but the data set has {key}={context[key]}")
        values.update(given)
        return cls(base=base, **values)

    @property
    def kind(self) -> str:
        """Its blocks: basic, bottleneck, preactivation, vgg, minionn, macro or cells; empty if unknown."""
        if self.base in _SEARCHED:
            return "macro" if self.base.startswith("cnet") else "cells"
        wide = _WRN_NAME.fullmatch(self.base)
        if wide:
            return "preactivation" if int(wide[1]) >= 10 and int(wide[1]) % 6 == 4 else ""
        if self.base in (others := {"resnet50": "bottleneck", "vgg16": "vgg", "minionn": "minionn"}):
            return others[self.base]
        return "basic" if self.base in _RESNET_BLOCKS or _HRN_NAME.fullmatch(self.base) else ""

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks in each stage, before ``depth`` takes some away."""
        if self.kind in (single := {"vgg": (2, 2, 3, 3, 3), "minionn": (2, 2, 3)}):
            return single[self.kind]
        if self.kind == "macro":
            layers = len(parse_macro(self.architecture))
            return (third(layers), third(layers), layers - 2 * third(layers))
        if self.kind == "cells":
            first, *others = (len(part) for part in parse_cells(self.architecture).order.split("r"))
            return (first, *(1 + more for more in others))
        wide = _WRN_NAME.fullmatch(self.base)
        if wide:
            return ((int(wide[1]) - 4) // 6,) * 3
        return _RESNET_BLOCKS.get(self.base) or _HRN_BLOCKS[self.base.partition("-")[0]]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage; of bottleneck blocks those inside."""
        if self.kind == "vgg":
            return (self.m, 2 * self.m, 4 * self.m, 8 * self.m, 8 * self.m)
        if self.kind == "minionn":
            return (self.m,) * 3
        if self.base in _SEARCHED:
            return (self.m, 4 * self.m, 16 * self.m)
        wide = _WRN_NAME.fullmatch(self.base)
        if wide:
            return tuple(int(wide[2]) * self.m * factor for factor in (1, 2, 4))
        match = _HRN_NAME.fullmatch(self.base)
        alpha, beta, gamma = map(int, match.groups()[1:]) if match else (2, 2, 2)
        widths = (self.m, alpha * self.m, alpha * beta * self.m, alpha * beta * gamma * self.m)
        return widths[: len(self.blocks)]

    @property
    def architecture(self) -> str:
        """Of a searched network: ``arch``, or the published one of its base; else empty."""
        return self.arch or _SEARCHED.get(self.base, "")

    @property
    def full_depth(self) -> tuple[str, ...]:
        """A digit a block for each stage of the network with all its convolutions."""
        digit = "1" if self.kind in ("vgg", "minionn", "macro", "cells") else "2"
        return tuple(digit * count for count in self.blocks)

    @property
    def stage_depth(self) -> tuple[str, ...]:
        """A digit a block for each stage: ``depth``, or the full one."""
        return tuple(self.depth.split("-")) if self.depth else self.full_depth

    def __str__(self) -> str:
        """Canonical form: m always, other keys where they differ from 100 classes, size 32, 3 channels."""
        others = [f"{key}={getattr(self, key)}" for key, value in _DEFAULTS.items() if getattr(self, key) != value]
        return f"{self.base}:" + ",".join([f"m={self.m}", *others])


def _parse_options(text: str, options: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in filter(None, options.split(",")):
        key, _, value = item.partition("=")
        known = key in _LIMITS and value.isdecimal()
        if key in found or not (known or (key in _TEXT_KEYS and value)):
            raise ConfigError(
                f"network {text!r}: expected key=number with each of {', '.join(_LIMITS)}, or {', '.join(_TEXT_KEYS)}, "
                f"at most once; found {item!r}"
            )
        found[key] = value if key in _TEXT_KEYS else int(value)
    return found
