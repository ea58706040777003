"""The networks: residual ones (ResNet, HybReNet), wide pre-activation ones (WRN), VGG, MiniONN's, searched ones.

The layout is the one used for CIFAR: a 3x3 stem of stride 1, stages of which each but the first halves the
size, global average pooling and one linear layer. Conventions of the ReLU counts: a ResNet's stem has a ReLU
(ResNet18: 557,056; papers that leave it out say 491,520); a WRN has none after its stem nor before its pooling
(WRN-22-8: 1,359,872). VGG pools by averages, since a maximum costs as many comparisons as ReLUs, and has one
linear layer; both are our choices.

Sources: He et al., CVPR 2016, arXiv 1512.03385; Jha and Reagen, arXiv 2304.10593 (stage widths of HybReNets);
Zagoruyko and Komodakis, arXiv 1605.07146 (WRN); Simonyan and Zisserman, arXiv 1409.1556 (VGG-16); mc2-project/delphi,
python/minionn (MiniONN's).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.train.blocks import BasicBlock, Bottleneck, Place, PreActivationBlock, conv_bn
from pi_system.train.cells import CellFeatures, parse_cells
from pi_system.train.channels import channels_of, keep_first, narrow
from pi_system.train.macro import MacroFeatures, parse_macro
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.reuse import use_reuse
from pi_system.train.spec import NetworkSpec
from pi_system.train.square import START_SCALE, START_SHIFT, Square

_MakeBlock = Callable[[int, int, Place, int], nn.Module]


class Classifier(nn.Module):
    """Logits (N, classes) of pictures (N, in_channels, size, size): features, average over the picture, linear."""

    def __init__(self, classes: int) -> None:
        """Declare what all networks end with; ``_finish`` fills it in."""
        super().__init__()
        self.classes = classes

    def _finish(self, c_in: int, pool: nn.Module | None = None) -> None:
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(c_in, self.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # slow there, and for nothing
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """What is averaged over the picture, (N, C, H, W)."""
        raise TypeError(f"{type(self).__name__} has no features")

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of normalised pictures."""
        return self.fc(self.flatten(self.pool(self.features(x))))  # type: ignore[no-any-return]


class ResNet(Classifier):
    """Stem with ReLU, then residual stages.

    Args:
        widths: channels of each stage; the stem has the first.
        blocks: blocks of each stage, as many numbers as widths; or, as text, a digit a block (see ``NetworkSpec``).
        in_channels: channels of the picture.
        classes: number of logits.
        size: height and width of the picture.
        stride: of the stem.
        bottleneck: build bottleneck blocks, not basic ones.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        blocks: tuple[int, ...] | tuple[str, ...],
        *,
        in_channels: int,
        classes: int,
        size: int,
        stride: int = 1,
        bottleneck: bool = False,
    ) -> None:
        """Build with He initialisation."""
        super().__init__(classes)
        size = -(-size // stride)
        self.stem_conv, self.stem_bn = conv_bn(in_channels, widths[0], 3, stride)
        self.stem_relu = MaskedReLU((widths[0], size, size), stage=1, block=-1)
        depth = tuple(digits if isinstance(digits, str) else "2" * digits for digits in blocks)
        expansion = Bottleneck.EXPANSION if bottleneck else 1

        def make(c_in: int, width: int, place: Place, form: int) -> nn.Module:
            if bottleneck:
                return Bottleneck(c_in, width, place)
            return BasicBlock(c_in, width, place, form)

        self.stages = _stages(make, widths[0], widths, depth, size, expansion)
        self._finish(_last_width(widths, depth, expansion))

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``."""
        return self.stages(self.stem_relu(self.stem_bn(self.stem_conv(x))))  # type: ignore[no-any-return]


class WideResNet(Classifier):
    """Pre-activation stages behind a plain convolution, without normalisation or ReLU at the end."""

    def __init__(
        self,
        stem: int,
        widths: tuple[int, ...],
        depth: tuple[str, ...],
        *,
        in_channels: int,
        classes: int,
        size: int,
        stride: int,
    ) -> None:
        """Build with He initialisation; ``stem`` is the first convolution's width, ``depth`` a digit a block."""
        super().__init__(classes)
        self.stem_conv = nn.Conv2d(in_channels, stem, 3, stride=stride, padding=1, bias=False)
        self.stages = _stages(PreActivationBlock, stem, widths, depth, -(-size // stride))
        self._finish(_last_width(widths, depth, 1, stem))

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``."""
        return self.stages(self.stem_conv(x))  # type: ignore[no-any-return]


class Vgg(Classifier):
    """Convolutions with ReLUs; stages end with an average over 2x2 (none where one pixel is left)."""

    def __init__(
        self, widths: tuple[int, ...], depth: tuple[str, ...], *, in_channels: int, classes: int, size: int, stride: int
    ) -> None:
        """Build with He initialisation; ``depth`` says 1, 3 (5x5) or 0 for each convolution of a stage."""
        super().__init__(classes)
        layers: list[nn.Module] = []
        c_in = in_channels
        for stage, (width, digits) in enumerate(zip(widths, depth, strict=True), start=1):
            for block, form in enumerate(digit for digit in digits if digit != "0"):
                place = Place(stage=stage, block=block // 2, size=size, stride=stride)
                layers += [*conv_bn(c_in, width, 5 if form == "3" else 3, stride), place.relu(width)]
                c_in, size, stride = width, place.out_size, 1
            if size > 1:
                layers.append(nn.AvgPool2d(2))
                size //= 2
        self.layers = nn.Sequential(*layers)
        self._finish(c_in)

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``."""
        return self.layers(x)  # type: ignore[no-any-return]


class Minionn(Classifier):
    """Convolutions with bias and ReLUs, averages over 2x2 after the second and the fourth, all features to the logits.

    Kernels are 3x3, of the last two convolutions 1x1; the last has a quarter of the channels.
    """

    def __init__(self, m: int, *, in_channels: int, classes: int, size: int, stride: int) -> None:
        """Build with He initialisation. Raises ConfigError for pictures that two averages over 2x2 do not fit."""
        super().__init__(classes)
        side = -(-size // stride)
        if side % 4 or m % 4:
            raise ConfigError(f"minionn: expected m and size (after the stride) in fours; found {m} and {side}")
        layers: list[nn.Module] = []
        c_in = in_channels
        for index, kernel in enumerate((3, 3, 3, 3, 3, 1, 1)):
            width, stage = m // 4 if index == 6 else m, min(index // 2, 2)
            layers.append(nn.Conv2d(c_in, width, kernel, stride if index == 0 else 1, kernel // 2))
            layers.append(MaskedReLU((width, side, side), stage=stage + 1, block=index - 2 * stage))
            if index in (1, 3):
                layers.append(nn.AvgPool2d(2))
                side //= 2
            c_in = width
        self.layers = nn.Sequential(*layers)
        self._finish(c_in * side * side, nn.Identity())

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``; nothing is averaged over the picture."""
        return self.layers(x)  # type: ignore[no-any-return]


class Searched(Classifier):
    """A network found by a search: features as an architecture says, of CryptoNAS's kind or Sphynx's."""

    def __init__(self, body: MacroFeatures | CellFeatures, classes: int) -> None:
        """Build with He initialisation on top of the features."""
        super().__init__(classes)
        self.body = body
        self._finish(body.out_channels)

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``."""
        return self.body(x)  # type: ignore[no-any-return]


def _stages(
    make: _MakeBlock, c_in: int, widths: tuple[int, ...], depth: tuple[str, ...], size: int, expansion: int = 1
) -> nn.Sequential:
    """Stages of blocks; the first block of every stage but the first has stride 2."""
    stages = []
    for stage, (width, digits) in enumerate(zip(widths, depth, strict=True), start=1):
        blocks = []
        for block, form in enumerate(digit for digit in digits if digit != "0"):
            place = Place(stage=stage, block=block, size=size, stride=2 if stage > 1 and block == 0 else 1)
            blocks.append(make(c_in, width, place, int(form)))
            c_in, size = expansion * width, place.out_size
        stages.append(nn.Sequential(*blocks))
    return nn.Sequential(*stages)


def _last_width(widths: tuple[int, ...], depth: tuple[str, ...], expansion: int, stem: int = 0) -> int:
    kept = [width for width, digits in zip(widths, depth, strict=True) if digits.strip("0")]
    return expansion * kept[-1] if kept else stem


def build_network(spec: NetworkSpec, *, seed: int | None = None, device: str = "cpu") -> Classifier:
    """Build the network a spec names, with all its ReLUs active, or squares in their places.

    Args:
        spec: what to build.
        seed: of the initial weights; None takes what torch's generator gives.
        device: ``meta`` builds shapes without weights, for counting.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None), torch.device(device):
        if seed is not None:
            torch.manual_seed(seed)
        network = _build(spec)
        if spec.reuse > 1:
            use_reuse(network, spec.reuse)
    if spec.filters:
        channels = channels_of(network)
        narrow(network, channels, keep_first(channels, tuple(map(int, spec.filters.split(".")))))
    if spec.activation == "square":
        use_squares(network)
    return network


def use_squares(network: nn.Module) -> None:
    """Put a Square in the place of every ReLU of ``network``, in place; dropped layers stay the identity.

    Batch normalisations start where squares are close to a straight line; see train/square.py.

    Raises:
        ConfigError: a ReLU layer is active in a part of its positions only: a square is for whole layers.
    """
    for name, relu in named_relus(network).items():
        if relu.active == 0:
            continue
        if relu.active < relu.size:
            raise ConfigError(f"square: expected whole ReLU layers, found {relu.active} of {relu.size} in {name}")
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, Square())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, START_SCALE)
            nn.init.constant_(module.bias, START_SHIFT)


def _build(spec: NetworkSpec) -> Classifier:
    if spec.architecture:
        picture = {"in_channels": spec.channels, "size": spec.size, "stride": spec.stride}
        if spec.kind == "macro":
            return Searched(MacroFeatures(parse_macro(spec.architecture), spec.m, **picture), spec.classes)
        return Searched(CellFeatures.of(parse_cells(spec.architecture), spec.m, **picture), spec.classes)
    depth = spec.stage_depth
    shape = {"in_channels": spec.channels, "classes": spec.classes, "size": spec.size, "stride": spec.stride}
    if spec.kind == "vgg":
        return Vgg(spec.widths, depth, **shape)
    if spec.kind == "minionn":
        return Minionn(spec.m, **shape)
    if spec.kind == "preactivation":
        return WideResNet(spec.m, spec.widths, depth, **shape)
    return ResNet(spec.widths, depth, bottleneck=spec.kind == "bottleneck", **shape)
