"""Well-known CNNs at their published sizes as plain torch modules with random weights, for pictures of 224 x 224.

Sources: ResNet50: He et al., arXiv 1512.03385, stride in the 3x3 convolution; SqueezeNet 1.1: Iandola et al., arXiv
1602.07360; DenseNet121: Huang et al., arXiv 1608.06993; MobileNetV2: Sandler et al., arXiv 1801.04381.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def _conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        """Layers."""
        super().__init__()
        self.body = nn.Sequential(
            *_conv_bn(c_in, width, 1),
            nn.ReLU(inplace=True),
            *_conv_bn(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_conv_bn(width, 4 * width, 1),
        )
        self.shortcut = nn.Sequential(*(_conv_bn(c_in, 4 * width, 1, stride) if c_in != 4 * width else ()))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        return self.relu(self.body(x) + self.shortcut(x))  # type: ignore[no-any-return]


def resnet50(classes: int = 1000) -> nn.Module:
    """Depths 3, 4, 6, 3."""
    layers: list[nn.Module] = [*_conv_bn(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    c_in = 64
    for stage, (width, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(depth):
            layers.append(Bottleneck(c_in, width, 2 if stage and not block else 1))
            c_in = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, classes))


class Fire(nn.Module):
    """Squeeze, then two expansions side by side."""

    def __init__(self, c_in: int, squeeze: int, expand: int) -> None:
        """Layers."""
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, squeeze, 1)
        self.left, self.right = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1)


def squeezenet1_1(classes: int = 1000) -> nn.Module:
    """Version 1.1: pools earlier."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2),
        nn.ReLU(),
        pool(),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        pool(),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        pool(),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
        nn.Dropout(0.5),
        nn.Conv2d(512, classes, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class DenseLayer(nn.Module):
    """What is there, and 32 channels more."""

    def __init__(self, c_in: int, growth: int) -> None:
        """Layers."""
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.ReLU(),
            nn.Conv2d(c_in, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        return torch.cat([x, self.body(x)], 1)


def densenet(
    depths: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32, stem: int = 64, classes: int = 1000
) -> nn.Module:
    """DenseNet121 by default."""
    layers: list[nn.Module] = [*_conv_bn(3, stem, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width = stem
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            layers.append(DenseLayer(width, growth))
            width += growth
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        if stage + 1 < len(depths):
            layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


class Inverted(nn.Module):
    """Expansion, depthwise convolution, linear bottleneck."""

    def __init__(self, c_in: int, c_out: int, stride: int, factor: int, act: Callable[[], nn.Module]) -> None:
        """Layers."""
        super().__init__()
        width = c_in * factor
        layers = [*_conv_bn(c_in, width, 1), act()] if factor != 1 else []
        layers += [*_conv_bn(width, width, 3, stride, width), act(), *_conv_bn(width, c_out, 1)]
        self.body, self.residual = nn.Sequential(*layers), stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(act: Callable[[], nn.Module] = nn.ReLU6, classes: int = 1000) -> nn.Module:
    """Width 1."""
    layers: list[nn.Module] = [*_conv_bn(3, 32, 3, 2), act()]
    c_in = 32
    for factor, c_out, depth, stride in MOBILENET_V2:
        for block in range(depth):
            layers.append(Inverted(c_in, c_out, 1 if block else stride, factor, act))
            c_in = c_out
    layers += [*_conv_bn(c_in, 1280, 1), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(1280, classes))


CNNS: dict[str, Callable[[], nn.Module]] = {
    "resnet50": resnet50,
    "squeezenet1_1": squeezenet1_1,
    "densenet121": densenet,
    "mobilenet_v2": mobilenet_v2,
}
