"""Random small networks: strides, groups, odd sizes, residuals, concatenation, every kind of ReLU mask.

Import it as ``from random_networks import random_network``; tests/conftest.py puts its folder on the path.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pi_system.artifact import Artifact
from pi_system.export import QuantiseOptions, random_artifact
from pi_system.train.mixed import Kind, mix
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.square import Square

Shape = tuple[int, int, int]
MASKS = ("full", "pixel", "channel", "dropped")


class Residual(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class Branches(nn.Module):
    """Concatenation of two branches along channels."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], dim=1)


class _Builder:
    def __init__(self, seed: int, masks: bool, maxpool: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.masks, self.maxpool = masks, maxpool

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def shape_after(self, module: nn.Module, shape: Shape) -> Any:
        with torch.no_grad():
            return tuple(module.eval()(torch.zeros(1, *shape)).shape[1:])

    def conv(self, shape: Shape, out: int, stride: int = 1) -> nn.Module:
        groups = self.pick(1, 1, 2) if shape[0] % 2 == 0 and out % 2 == 0 else 1
        kernel = self.pick((1, 1), (3, 3), (3, 3), (3, 1), (5, 5))
        padding = (kernel[0] // 2, kernel[1] // 2)
        conv = nn.Conv2d(shape[0], out, kernel, stride, padding, groups=groups, bias=bool(self.pick(0, 1)))
        return nn.Sequential(conv, nn.BatchNorm2d(out)) if self.pick(0, 1, 1) else conv

    def relu(self, shape: Shape) -> nn.Module:
        kind = self.pick(*MASKS) if self.masks else "full"
        relu = MaskedReLU(shape, stage=1, block=0)
        if kind == "pixel":
            relu.set_mask(torch.from_numpy(self.rng.random(shape) < 0.5))
        elif kind == "channel":
            channels = torch.from_numpy(self.rng.random(shape[0]) < 0.5)
            relu.set_mask(channels[:, None, None].expand(shape).clone())
        elif kind == "dropped":
            relu.set_mask(torch.zeros(shape, dtype=torch.bool))
        return self.pick(nn.ReLU(), relu) if kind == "full" else relu

    def block(self, shape: Shape) -> nn.Module:
        out, stride = self.pick(2, 4, 6), self.pick(1, 1, 2)
        conv = self.conv(shape, out, stride)
        inner = self.shape_after(conv, shape)
        match self.pick("plain", "plain", "residual", "concat", "preact", "pool"):
            case "residual":
                body = nn.Sequential(conv, self.relu(inner), self.conv(inner, out))
                same = inner == shape
                shortcut = nn.Identity() if same else nn.Conv2d(shape[0], out, 1, stride, bias=False)
                return nn.Sequential(Residual(body, shortcut), self.relu(inner))
            case "concat":
                right = nn.Conv2d(shape[0], 2, 1, stride)
                return nn.Sequential(Branches(conv, right), self.relu((out + 2, *inner[1:])))
            case "preact":
                return nn.Sequential(nn.BatchNorm2d(shape[0]), self.relu(shape), conv)
            case "pool" if min(inner[1:]) >= 3:
                pool = nn.MaxPool2d if self.maxpool and self.pick(0, 1) else nn.AvgPool2d
                return nn.Sequential(conv, self.relu(inner), pool(self.pick(2, 3), 2, self.pick(0, 1)))
            case _:
                return nn.Sequential(conv, self.relu(inner))

    def head(self, shape: Shape, classes: int) -> nn.Module:
        if self.pick(0, 1):
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], classes))
        features = int(np.prod(shape))
        return nn.Sequential(nn.Flatten(), nn.Linear(features, 7), nn.ReLU(), nn.Linear(7, classes))


def random_network(seed: int, *, blocks: int = 3, masks: bool = True, maxpool: bool = True) -> tuple[nn.Module, Shape]:
    """A random network with torch's initial weights, and the shape (C, H, W) of its pictures."""
    builder = _Builder(seed, masks, maxpool)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape: Shape = (builder.pick(1, 3), builder.pick(5, 7, 8, 9), builder.pick(5, 6, 8))
        layers, current = [], shape
        for _ in range(blocks):
            layers.append(builder.block(current))
            current = builder.shape_after(layers[-1], current)
        layers.append(builder.head(current, builder.pick(2, 3, 10)))
        return nn.Sequential(*layers), shape


def mix_squares(network: nn.Module) -> nn.Module:
    """Put squares in the place of every second whole ReLU layer, from the first on; in place."""
    whole = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.ReLU) or (isinstance(module, MaskedReLU) and module.active == module.size)
    ]
    for name in whole[::2]:
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, Square(halvings=2))
    return network


def mix_kinds(network: nn.Module, seed: int) -> nn.Module:
    """Give every MaskedReLU of a network random kinds, by layer, channel or pixel, and random polynomials; in place."""
    rng = np.random.default_rng(seed)
    for name in named_relus(network):
        layer = mix(network, name)
        channels, height, width = layer.shape
        grain = [(1, 1, 1), (channels, 1, 1), (channels, 1, 1), (channels, height, width)][int(rng.integers(4))]
        kinds = rng.choice(len(Kind), grain, p=[0.2, 0.25, 0.3, 0.15, 0.1])
        layer.set_kinds(torch.from_numpy(kinds.astype(np.uint8)).expand(layer.shape).clone())
        coefficients = rng.uniform((-0.5, -1, -0.5), (0.5, 1, 0.5), (channels, 3))
        coefficients[rng.random(channels) < 0.2, 0] = 0.0
        with torch.no_grad():
            layer.coefficients.copy_(torch.from_numpy(coefficients))
    return network


@cache
def random_mixed_artifact(seed: int, *, blocks: int = 3, options: QuantiseOptions | None = None) -> Artifact:
    """An exported random network of mixed activations (its first ones; plain ReLUs stay)."""
    network, shape = random_network(seed, blocks=blocks)
    return random_artifact(mix_kinds(network, seed), shape, seed, f"mixed:{seed}", options)


@cache
def random_square_artifact(seed: int, *, blocks: int = 2, options: QuantiseOptions | None = None) -> Artifact:
    """An exported random network with squares among its ReLUs (no pixel masks, so that there are some)."""
    network, shape = random_network(seed, blocks=blocks, masks=False)
    return random_artifact(mix_squares(network), shape, seed, f"squares:{seed}", options)


@cache
def random_small_artifact(
    seed: int,
    *,
    blocks: int = 3,
    masks: bool = True,
    maxpool: bool = True,
    options: QuantiseOptions | None = None,
) -> Artifact:
    """An exported random network."""
    network, shape = random_network(seed, blocks=blocks, masks=masks, maxpool=maxpool)
    return random_artifact(network, shape, seed, f"random:{seed}", options)
