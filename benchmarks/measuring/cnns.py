"""Well-known CNNs at their published sizes as plain torch modules with random weights, for pictures of 224 x 224.

Sources: ResNet50: He et al., arXiv 1512.03385, stride in the 3x3 convolution; SqueezeNet 1.1: Iandola et al., arXiv
1602.07360; DenseNet121: Huang et al., arXiv 1608.06993; MobileNetV2: Sandler et al., arXiv 1801.04381. Parts are named
as torchvision names them, so that its weight files fit (published.py).
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        """Layers."""
        super().__init__()
        c_out = 4 * width
        self.conv1, self.bn1 = _conv(c_in, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, c_out, 1), nn.BatchNorm2d(c_out)
        shortcut = (_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out)) if c_in != c_out else ()
        self.downsample = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def resnet50(classes: int = 1000) -> nn.Module:
    """Depths 3, 4, 6, 3."""
    stages, c_in = OrderedDict[str, nn.Module](), 64
    for stage, (width, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        blocks = []
        for block in range(depth):
            blocks.append(Bottleneck(c_in, width, 2 if stage > 1 and not block else 1))
            c_in = 4 * width
        stages[f"layer{stage}"] = nn.Sequential(*blocks)
    stem = {"conv1": _conv(3, 64, 7, 2), "bn1": nn.BatchNorm2d(64), "relu": nn.ReLU(), "maxpool": nn.MaxPool2d(3, 2, 1)}
    head = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(2048, classes)}
    return _named(**stem, **stages, **head)


class Fire(nn.Module):
    """Squeeze, then two expansions side by side."""

    def __init__(self, c_in: int, squeeze: int, expand: int) -> None:
        """Layers."""
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, squeeze, 1)
        self.expand1x1, self.expand3x3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)


def squeezenet1_1(classes: int = 1000) -> nn.Module:
    """Version 1.1: pools earlier."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = nn.Sequential(
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
    )
    classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return _named(features=features, classifier=classifier, flatten=nn.Flatten())


class DenseLayer(nn.Sequential):
    """What is there, and ``growth`` channels more."""

    def __init__(self, c_in: int, growth: int) -> None:
        """Layers."""
        super().__init__()
        self.norm1, self.relu1, self.conv1 = nn.BatchNorm2d(c_in), nn.ReLU(), _conv(c_in, 4 * growth, 1)
        self.norm2, self.relu2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.ReLU(), _conv(4 * growth, growth, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        return torch.cat([x, super().forward(x)], 1)  # type: ignore[no-untyped-call]


def densenet(
    depths: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32, stem: int = 64, classes: int = 1000
) -> nn.Module:
    """DenseNet121 by default."""
    features = _named(
        conv0=_conv(3, stem, 7, 2), norm0=nn.BatchNorm2d(stem), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, 1)
    )
    width = stem
    for stage, depth in enumerate(depths, 1):
        block = {f"denselayer{layer + 1}": DenseLayer(width + layer * growth, growth) for layer in range(depth)}
        features.add_module(f"denseblock{stage}", _named(**block))
        width += depth * growth
        if stage < len(depths):
            conv, pool = _conv(width, width // 2, 1), nn.AvgPool2d(2)
            features.add_module(
                f"transition{stage}", _named(norm=nn.BatchNorm2d(width), relu=nn.ReLU(), conv=conv, pool=pool)
            )
            width //= 2
    features.add_module("norm5", nn.BatchNorm2d(width))
    head = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": nn.Linear(width, classes)}
    return _named(features=features, relu=nn.ReLU(), **head)


Activation = Callable[[], nn.Module]


def _conv_bn_act(c_in: int, c_out: int, kernel: int, stride: int, groups: int, act: Activation) -> nn.Module:
    return nn.Sequential(_conv(c_in, c_out, kernel, stride, groups), nn.BatchNorm2d(c_out), act())


class Inverted(nn.Module):
    """Expansion, depthwise convolution, linear bottleneck."""

    def __init__(self, c_in: int, c_out: int, stride: int, factor: int, act: Activation) -> None:
        """Layers."""
        super().__init__()
        width = c_in * factor
        layers = [_conv_bn_act(c_in, width, 1, 1, 1, act)] if factor != 1 else []
        layers += [_conv_bn_act(width, width, 3, stride, width, act), _conv(width, c_out, 1), nn.BatchNorm2d(c_out)]
        self.conv, self.residual = nn.Sequential(*layers), stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, C, H, W)."""
        y: Tensor = self.conv(x)
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


def mobilenet_v2(act: Activation = nn.ReLU6, classes: int = 1000) -> nn.Module:
    """Width 1."""
    features: list[nn.Module] = [_conv_bn_act(3, 32, 3, 2, 1, act)]
    c_in = 32
    for factor, c_out, depth, stride in MOBILENET_V2:
        for block in range(depth):
            features.append(Inverted(c_in, c_out, 1 if block else stride, factor, act))
            c_in = c_out
    features.append(_conv_bn_act(c_in, 1280, 1, 1, 1, act))
    classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))
    pool, flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return _named(features=nn.Sequential(*features), avgpool=pool, flatten=flatten, classifier=classifier)


CNNS: dict[str, Callable[[], nn.Module]] = {
    "resnet50": resnet50,
    "squeezenet1_1": squeezenet1_1,
    "densenet121": densenet,
    "mobilenet_v2": mobilenet_v2,
}
