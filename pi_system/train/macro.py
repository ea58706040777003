"""Networks of CryptoNAS: a chain of convolutions with skips by concatenation, and as many ReLUs in every layer.

A layer is ReLU, convolution (3x3 or 5x5), batch normalisation; then its output and those of the earlier layers it
skips from are concatenated, and a 1x1 convolution with batch normalisation, but without a ReLU ("ReLU pruning"),
brings them back to the layer's width. After a third and two thirds of the layers everything halves its size and has
four times the channels ("ReLU balancing"), so a network of L layers, width w and pictures of s x s has L w s^2 ReLUs.

An architecture is text, a layer after the other with dashes between them: a digit for the operation (0 and 1: 3x3,
2 and 3: 5x5; in the search 1 and 3 are separable), then, but for the first layer, a digit 1 or 0 for each possible
skip: from the stem, the first layer, and so on to the layer before the last one. As ``3-00-011-0000``.

Source: Ghodsi, Veldanda, Reagen, Garg, NeurIPS 2020, arXiv 2006.08733; architectures and layout from the authors' code
(zghodsi/CryptoNAS, scripts for CIFAR-100). Differs: a halving is one 2x2 convolution of stride 2 where the authors
concatenate two 1x1 ones, a pixel apart, which is a case of it; no dropout and no auxiliary classifier.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.train.blocks import Place, conv_bn

KERNELS = (3, 3, 5, 5)
"""Kernel size by operation."""

CNETS: Mapping[str, str] = {
    "cnet1": "3-00-011-0000-10000-100011",
    "cnet2": (
        "3-30-211-2000-20101-310101-3100110-01001010-010001101-0010001001-10000000010-300101010000"
    ),
    "cnet3": (
        "1-20-311-1000-30000-200100-3010101-00100010-310011011-2011101000-30010101001-011010100100-"
        "0011100000001-20101001010011-110101101000001-2100100000000100-10000010000000000-111000001101110011-"
        "0000100110000011101-11011101000000001111-001011000110010000011-1000001000010011101010-"
        "10011000101111101010011-200111000101101100000101"
    ),
}  # fmt: skip
"""The published architectures, for CIFAR-100."""

_LAYER = re.compile(r"[0-3][01]*")


@dataclass(frozen=True, slots=True)
class MacroLayer:
    """Operation 0 to 3, and the indices of outputs to concatenate: 0 is the stem, k the k-th layer."""

    operation: int
    skips: tuple[int, ...]


def parse_macro(text: str) -> tuple[MacroLayer, ...]:
    """Read an architecture.

    Raises:
        ConfigError: fewer than three layers, or a layer that is no operation with its skips.
    """
    layers = []
    for index, part in enumerate(text.split("-")):
        if not _LAYER.fullmatch(part) or len(part) != index + 1:
            raise ConfigError(f"arch: expected an operation 0 to 3 and {index} skips in layer {index}; found {part!r}")
        layers.append(MacroLayer(int(part[0]), tuple(k for k, digit in enumerate(part[1:]) if digit == "1")))
    if len(layers) < 3:
        raise ConfigError(f"arch: expected at least three layers; found {text!r}")
    return tuple(layers)


def macro_text(layers: tuple[MacroLayer, ...]) -> str:
    """The text of an architecture, which ``parse_macro`` reads."""
    return "-".join(
        f"{layer.operation}{''.join(str(int(k in layer.skips)) for k in range(index))}"
        for index, layer in enumerate(layers)
    )


def third(layers: int) -> int:
    """Layers before the first halving."""
    return layers // 3


def halving(c_in: int, c_out: int) -> nn.Sequential:
    """Half the height and width, which must be even, without losing a pixel."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 2, stride=2, bias=False), nn.BatchNorm2d(c_out))


class _Layer(nn.Module):
    """ReLU, convolution, batch normalisation; then the merging with what is skipped from, but in the first layer."""

    def __init__(self, layer: MacroLayer, width: int, place: Place, first: bool) -> None:
        super().__init__()
        self.skips = layer.skips
        self.relu = place.relu(width)
        self.conv, self.bn = conv_bn(width, width, KERNELS[layer.operation])
        self.merge = nn.Identity() if first else conv_bn(width * (len(layer.skips) + 1), width, 1)

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Apply to all outputs so far, of one size, the last of which is the input."""
        y = self.bn(self.conv(self.relu(outputs[-1])))
        return self.merge(torch.cat([*(outputs[k] for k in self.skips), y], 1) if self.skips else y)  # type: ignore[no-any-return]


class MacroFeatures(nn.Module):
    """Stem and layers; ``out_channels`` is the width of the last one."""

    def __init__(self, layers: tuple[MacroLayer, ...], width: int, *, in_channels: int, size: int, stride: int) -> None:
        """Build; ``size`` is the picture's height and width, ``stride`` the stem's."""
        super().__init__()
        self.stem = conv_bn(in_channels, width, 3, stride)
        self.layers, self.halvings = nn.ModuleList(), nn.ModuleDict()
        size, stage, start = -(-size // stride), 1, 0
        for index, layer in enumerate(layers):
            place = Place(stage=stage, block=index - start, size=size, stride=1)
            self.layers.append(_Layer(layer, width, place, index == 0))
            if index + 1 in (third(len(layers)), 2 * third(len(layers))):
                used = sorted({index + 1} | {skip for later in layers[index + 1 :] for skip in later.skips})
                for output in filter(lambda output: output <= index + 1, used):
                    self.halvings[f"{index}_{output}"] = halving(width, 4 * width)
                width, size, stage, start = 4 * width, size // 2, stage + 1, index + 1
        self.out_channels = width

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, out_channels, size / 4, size / 4) of pictures."""
        outputs: list[Tensor] = [self.stem(x)]
        for index, layer in enumerate(self.layers):
            outputs.append(layer(outputs))
            if index + 1 in (third(len(self.layers)), 2 * third(len(self.layers))):
                # An output nobody skips from any more is not halved, and never read again.
                outputs = [self._halved(index, output, y) for output, y in enumerate(outputs)]
        return outputs[-1]

    def _halved(self, index: int, output: int, y: Tensor) -> Tensor:
        key = f"{index}_{output}"
        return self.halvings[key](y) if key in self.halvings else y
