"""Residual networks of basic blocks with free stage widths: ResNet18, ResNet34 and every HybReNet.

The layout is the one used for CIFAR: a 3x3 stem of stride 1, four stages at full, half, quarter and eighth
resolution, global average pooling and one linear layer. The stem's ReLU is counted (ResNet18: 557,056; papers
that leave it out say 491,520).

Source: He et al., CVPR 2016, arXiv 1512.03385 (basic block); Jha and Reagen, arXiv 2304.10593 (stage widths).
"""

import torch
from torch import Tensor, nn

from pi_system.train.relu import MaskedReLU
from pi_system.train.spec import NetworkSpec

__all__ = ["BasicBlock", "ResNet", "build_network"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: (N, C_in, H, W) -> (N, C_out, ceil(H/stride), ceil(W/stride)).

    ReLUs are declared in the order of execution, on which ``named_relus`` relies.
    """

    def __init__(self, c_in: int, c_out: int, *, stride: int, size: int, stage: int, block: int) -> None:
        """Build the block; ``size`` is the height and width of its output."""
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu1 = MaskedReLU((c_out, size, size), stage=stage, block=block)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))
        self.relu2 = MaskedReLU((c_out, size, size), stage=stage, block=block)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + self.shortcut(x)
        return self.relu2(y)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Logits (N, classes) of pictures (N, in_channels, size, size).

    Args:
        widths: channels of each stage; the stem has the first.
        blocks: basic blocks of each stage, as many numbers as widths.
        in_channels: channels of the picture.
        classes: number of logits.
        size: height and width of the picture.
    """

    def __init__(
        self, widths: tuple[int, ...], blocks: tuple[int, ...], *, in_channels: int, classes: int, size: int
    ) -> None:
        """Build with He initialisation."""
        super().__init__()
        self.stem_conv = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(widths[0])
        self.stem_relu = MaskedReLU((widths[0], size, size), stage=1, block=-1)
        stages = []
        c_in = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
            layers = []
            for block in range(count):
                stride = 2 if stage > 1 and block == 0 else 1
                size = -(-size // stride)
                layers.append(BasicBlock(c_in, width, stride=stride, size=size, stage=stage, block=block))
                c_in = width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(c_in, classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of normalised pictures."""
        y = self.stem_relu(self.stem_bn(self.stem_conv(x)))
        y = self.flatten(self.pool(self.stages(y)))
        return self.fc(y)  # type: ignore[no-any-return]


def build_network(spec: NetworkSpec, *, seed: int | None = None, device: str = "cpu") -> ResNet:
    """Build the network a spec names, with all ReLUs active.

    Args:
        spec: what to build.
        seed: of the initial weights; None takes what torch's generator gives.
        device: ``meta`` builds shapes without weights, for counting.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None), torch.device(device):
        if seed is not None:
            torch.manual_seed(seed)
        return ResNet(spec.widths, spec.blocks, in_channels=spec.channels, classes=spec.classes, size=spec.size)
