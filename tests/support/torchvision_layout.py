"""torchvision's networks as functions of a picture and of tensors by its names: what its weight files hold.

A tensor that is not there yet is drawn where it is first asked for, so one call makes a file of random weights, and its
shapes are those that the layers have by their definition. Written apart from benchmarks/measuring/cnns.py.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


class Layers:
    """Layers that find, or draw, their tensors by name."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def tensor(self, name: str, *shape: int, scale: float = 1.0, offset: float = 0.0) -> Tensor:
        """By its name."""
        if name not in self.weights:
            self.weights[name] = offset + scale * torch.randn(*shape)
        assert self.weights[name].shape == shape, name
        return self.weights[name]

    def conv(self, name: str, x: Tensor, out: int, size: int, stride: int = 1, pad: int = 0, groups: int = 1) -> Tensor:
        """Without a bias."""
        fan_in = x.shape[1] // groups
        weight = self.tensor(f"{name}.weight", out, fan_in, size, size, scale=(2 / (fan_in * size * size)) ** 0.5)
        return F.conv2d(x, weight, None, stride, pad, groups=groups)

    def biased(self, name: str, x: Tensor, out: int, size: int, stride: int = 1, pad: int = 0) -> Tensor:
        """With a bias."""
        y = self.conv(name, x, out, size, stride, pad)
        return y + self.tensor(f"{name}.bias", out, scale=0.1)[:, None, None]

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Batch normalisation."""
        n = x.shape[1]
        gamma, beta = self.tensor(f"{name}.weight", n, scale=0.1, offset=1.0), self.tensor(f"{name}.bias", n, scale=0.1)
        mean = self.tensor(f"{name}.running_mean", n, scale=0.1)
        variance = self.tensor(f"{name}.running_var", n, scale=0.01, offset=1.0)
        return F.batch_norm(x, mean, variance, gamma, beta)

    def linear(self, name: str, x: Tensor, out: int) -> Tensor:
        """Fully connected."""
        weight = self.tensor(f"{name}.weight", out, x.shape[1], scale=x.shape[1] ** -0.5)
        return F.linear(x, weight, self.tensor(f"{name}.bias", out, scale=0.1))


def resnet50(weights: Weights, x: Tensor) -> Tensor:
    """Logits."""
    net = Layers(weights)
    x = F.max_pool2d(F.relu(net.norm("bn1", net.conv("conv1", x, 64, 7, 2, 3))), 3, 2, 1)
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        width = 32 << stage
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            y = F.relu(net.norm(f"{name}.bn1", net.conv(f"{name}.conv1", x, width, 1)))
            y = F.relu(net.norm(f"{name}.bn2", net.conv(f"{name}.conv2", y, width, 3, stride, 1)))
            y = net.norm(f"{name}.bn3", net.conv(f"{name}.conv3", y, 4 * width, 1))
            if block == 0:
                x = net.norm(f"{name}.downsample.1", net.conv(f"{name}.downsample.0", x, 4 * width, 1, stride))
            x = F.relu(x + y)
    return net.linear("fc", x.mean((2, 3)), 1000)


def squeezenet1_1(weights: Weights, x: Tensor) -> Tensor:
    """Logits."""
    net, squeeze = Layers(weights), {3: 16, 4: 16, 6: 32, 7: 32, 9: 48, 10: 48, 11: 64, 12: 64}
    x = F.relu(net.biased("features.0", x, 64, 3, 2))
    for index in range(2, 13):
        if index not in squeeze:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        name, width = f"features.{index}", squeeze[index]
        s = F.relu(net.biased(f"{name}.squeeze", x, width, 1))
        one = F.relu(net.biased(f"{name}.expand1x1", s, 4 * width, 1))
        three = F.relu(net.biased(f"{name}.expand3x3", s, 4 * width, 3, 1, 1))
        x = torch.cat([one, three], 1)
    return F.relu(net.biased("classifier.1", x, 1000, 1)).mean((2, 3))


def densenet121(weights: Weights, x: Tensor) -> Tensor:
    """Logits; the dots in names of a layer's parts are those of the published file."""
    net = Layers(weights)
    x = F.max_pool2d(F.relu(net.norm("features.norm0", net.conv("features.conv0", x, 64, 7, 2, 3))), 3, 2, 1)
    for stage, depth in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, depth + 1):
            name = f"features.denseblock{stage}.denselayer{layer}"
            y = net.conv(f"{name}.conv.1", F.relu(net.norm(f"{name}.norm.1", x)), 128, 1)
            y = net.conv(f"{name}.conv.2", F.relu(net.norm(f"{name}.norm.2", y)), 32, 3, 1, 1)
            x = torch.cat([x, y], 1)
        if stage < 4:
            name = f"features.transition{stage}"
            x = F.avg_pool2d(net.conv(f"{name}.conv", F.relu(net.norm(f"{name}.norm", x)), x.shape[1] // 2, 1), 2)
    return net.linear("classifier", F.relu(net.norm("features.norm5", x)).mean((2, 3)), 1000)


def mobilenet_v2(weights: Weights, x: Tensor) -> Tensor:
    """Logits."""
    net, index = Layers(weights), 1
    x = F.relu6(net.norm("features.0.1", net.conv("features.0.0", x, 32, 3, 2, 1)))
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for factor, out, depth, first in settings:
        for block in range(depth):
            name, part, y, width = f"features.{index}.conv", 0, x, factor * x.shape[1]
            if factor != 1:
                y, part = F.relu6(net.norm(f"{name}.0.1", net.conv(f"{name}.0.0", y, width, 1))), 1
            stride = 1 if block else first
            y = net.conv(f"{name}.{part}.0", y, width, 3, stride, 1, groups=width)
            y = F.relu6(net.norm(f"{name}.{part}.1", y))
            y = net.norm(f"{name}.{part + 2}", net.conv(f"{name}.{part + 1}", y, out, 1))
            x, index = x + y if stride == 1 and x.shape == y.shape else y, index + 1
    x = F.relu6(net.norm("features.18.1", net.conv("features.18.0", x, 1280, 1)))
    return net.linear("classifier.1", x.mean((2, 3)), 1000)


LAYOUTS: dict[str, Callable[[Weights, Tensor], Tensor]] = {
    "resnet50": resnet50,
    "squeezenet1_1": squeezenet1_1,
    "densenet121": densenet121,
    "mobilenet_v2": mobilenet_v2,
}
