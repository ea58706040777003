"""Small networks of families that export was not written for: logits are the module's, or one line says what to do."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pi_system.errors import UnsupportedLayerError
from pi_system.export.exporter import lower
from pi_system.export.trace import Smooth, finished, outputs_of
from pi_system.program.float_point import FloatInterpreter

torch.manual_seed(0)  # of the weights below


def cbr(inputs: int, out: int, kernel: Any = 3, stride: int = 1, groups: int = 1, act: Any = nn.ReLU) -> nn.Sequential:
    padding = (kernel // 2, kernel // 2) if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(inputs, out, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), act())


class Head(nn.Sequential):
    def __init__(self, channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(channels, 5))


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, after: bool = True) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut or nn.Identity(), after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return F.relu(y) if self.after else y


class Shuffle(nn.Module):
    """ShuffleNet V2: a split, a branch, a concatenation, channels shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(cbr(4, 4, 1), nn.Conv2d(4, 4, 3, 1, 1, groups=4), nn.BatchNorm2d(4), cbr(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        x = torch.cat((left, self.branch(right)), dim=1)
        n, c, h, w = x.size()
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Excitation(nn.Module):
    """Squeeze-and-excitation as MobileNetV3, RegNet and EfficientNet have it."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.pool, self.gate = nn.AdaptiveAvgPool2d(1), gate
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.gate(self.up(F.relu(self.down(self.pool(x)))))
        return y


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.deep = cbr(3, 4), cbr(4, 6), cbr(6, 8)
        self.up, self.last = nn.ConvTranspose2d(8, 6, 2, 2), nn.Conv2d(6, 2, 1)
        self.after, self.smooth = cbr(12, 6), cbr(6 + 4, 6)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(F.max_pool2d(one, 2))
        x = self.after(torch.cat([two, self.up(self.deep(F.max_pool2d(two, 2)))], 1))
        x = F.interpolate(x, size=one.shape[-2:], mode="bilinear", align_corners=False)
        return torch.as_tensor(self.last(self.smooth(torch.cat([x, one], 1))))


class Ghost(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.primary, self.cheap = cbr(8, 5, 1), cbr(5, 5, 3, groups=5)

    def forward(self, x: Tensor) -> Tensor:
        first = self.primary(x)
        return torch.cat([first, self.cheap(first)], dim=1)[:, :8, :, :]


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = cbr(8, 2, 1), nn.Sequential(cbr(8, 2, (1, 7)), cbr(2, 2, (7, 1)))
        self.c, self.d = nn.Sequential(cbr(8, 2, 1), cbr(2, 2, 5)), cbr(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(pooled)], 1)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 2 * i), nn.ReLU(), nn.Conv2d(8 + 2 * i, 2, 3, 1, 1)) for i in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


class Pyramid(nn.Module):
    """A feature pyramid with heads on every level: several outputs, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([cbr(3, 4, 3, 2), cbr(4, 6, 3, 2), cbr(6, 8, 3, 2)])
        self.lateral = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in (4, 6, 8))
        self.heads = nn.ModuleDict({"box": nn.Conv2d(4, 4, 3, padding=1), "class": nn.Conv2d(4, 2, 3, padding=1)})

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        levels = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        for index in (1, 0):
            levels[index] = levels[index] + F.interpolate(levels[index + 1], size=levels[index].shape[2:])
        return {name: [head(level) for level in levels] for name, head in self.heads.items()}


class Split(nn.Module):
    """Res2Net: every part of the channels goes through its own convolution and into the next part."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(cbr(2, 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, 2, 1)
        out = [parts[0]]
        for part, conv in zip(parts[1:], self.convs, strict=True):
            out.append(conv(part + out[-1]))
        return torch.cat(out, 1)


class Atrous(nn.Module):
    """The head of DeepLab: dilated branches, and the mean of the map stretched over it."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(8, 3, 3, padding=rate, dilation=rate) for rate in (1, 2, 4))
        self.mean, self.last = nn.Sequential(nn.AdaptiveAvgPool2d(1), cbr(8, 3, 1)), nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean = F.interpolate(self.mean(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        return {"out": self.last(torch.cat([F.relu(branch(x)) for branch in self.branches] + [mean], 1))}


class Attention(nn.Module):
    """CBAM: gates by channel and by position; ECA: a gate by a convolution along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.spatial = (
            nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8)),
            nn.Conv2d(2, 1, 7, padding=3),
        )
        self.along = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        x = x * gate[:, :, None, None]
        maps = torch.cat([x.mean(1, keepdim=True), torch.max(x, 1, keepdim=True)[0]], 1)
        x = x * self.spatial(maps).sigmoid()
        line = self.along(x.mean((2, 3)).unsqueeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * torch.sigmoid(line).expand_as(x)


class Audio(nn.Module):
    """A causal 1-D network with gated units, as WaveNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(2, 6, 1)
        self.filters = nn.ModuleList(nn.Conv1d(6, 12, 2, dilation=2**i, padding=2**i) for i in range(3))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.squeeze(-1))
        for index, conv in enumerate(self.filters):
            value, gate = conv(x)[..., : -(2**index)].chunk(2, 1)
            x = x + torch.tanh(value) * torch.sigmoid(gate)
        return torch.as_tensor(self.head(F.max_pool1d(F.relu(x), 4).mean(-1)))


class Sound(nn.Sequential):
    """A plain 1-D network."""

    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(2),
            *(nn.Conv1d(1, 4, 9, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(4, 6, 3, groups=2, padding="same"), nn.LeakyReLU(0.2), nn.AvgPool1d(2)),
            *(nn.AdaptiveMaxPool1d(3), nn.Flatten(), nn.Linear(18, 3), nn.LogSoftmax(1)),
        )


class MixerBlock(nn.Module):
    """An MLP-Mixer without LayerNorm: weights along positions, then along channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.along, self.across = nn.Conv2d(3, 8, 4, 4), nn.Linear(16, 16), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + F.relu(self.along(x.transpose(1, 2))).transpose(1, 2)
        return (x + F.relu(self.across(x))).mean(1)


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.wide = nn.Conv2d(3, 8, 7, padding=3), nn.LayerNorm(8), nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return F.gelu(self.wide(x)).mean((1, 2))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.attention = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return torch.as_tensor(self.attention(x, x, x)[0].mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(48, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.lstm(x.transpose(1, 2).flatten(2))[0][:, -1])


def stem(*blocks: nn.Module) -> nn.Sequential:
    return nn.Sequential(cbr(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1, ceil_mode=True), *blocks)


def mobile(act: Any, gate: nn.Module) -> nn.Sequential:
    block = nn.Sequential(
        cbr(8, 16, 1, act=act), cbr(16, 16, 5, groups=16, act=act), Excitation(16, gate), cbr(16, 8, 1, act=nn.Identity)
    )
    return nn.Sequential(cbr(3, 8, 3, 2, act=act), Residual(block, after=False), Head(8))


NETWORKS: dict[str, nn.Module] = {
    "shufflenet": stem(Shuffle(), Shuffle(), Head(8)),
    "resnext": stem(
        Residual(nn.Sequential(cbr(8, 8, 1), cbr(8, 8, 3, groups=4), cbr(8, 8, 1, act=nn.Identity))), Head(8)
    ),
    "regnet": stem(
        Residual(nn.Sequential(cbr(8, 8), Excitation(8, nn.Hardsigmoid())), cbr(8, 8, 1, act=nn.Identity)), Head(8)
    ),
    "unet": UNet(),
    "ghostnet": stem(Ghost(), Head(8)),
    "vgg": nn.Sequential(
        cbr(3, 6), cbr(6, 6), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((3, 5)), nn.Flatten(), nn.Linear(90, 5)
    ),
    "inception": stem(Inception(), Head(8)),
    "densenet": stem(Dense(), nn.BatchNorm2d(14), nn.ReLU(), nn.Conv2d(14, 7, 1), nn.AvgPool2d(2), Head(7)),
    "preact": stem(
        Residual(nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1)), after=False), Head(8)
    ),
    "pyramid": Pyramid(),
    "res2net": stem(Split(), Head(8)),
    "deeplab": stem(Atrous()),
    "superresolution": nn.Sequential(
        cbr(3, 8, 5), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2), nn.Hardtanh(0, 1)
    ),
    "mobilenetv3": mobile(nn.Hardswish, nn.Hardsigmoid()),
    "mixer": MixerBlock(),
    "maxout": stem(
        nn.Conv2d(8, 12, 1),
        nn.Unflatten(1, (6, 2)),
        nn.Flatten(3),
        nn.MaxPool2d((2, 1)),
        nn.Flatten(),
        nn.LazyLinear(3),
    ),
}


def checked(network: nn.Module, shape: tuple[int, ...], allowed: float | None = None) -> tuple[float, float]:
    """The largest difference of outputs, and of one of a smooth function."""
    torch.manual_seed(0)
    network.eval()(torch.zeros(1, *shape))
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.3)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.normal_(module.weight, 1, 0.3)
    pictures = np.random.default_rng(1).normal(size=(5, *shape)).astype(np.float32)
    draft = lower(network, shape, None if allowed is None else Smooth(pictures, allowed))
    batch = torch.from_numpy(pictures)
    with torch.no_grad():
        expected = outputs_of(network(batch.clone()))
    found = finished(FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), batch), draft.finals)
    assert found.shape == expected.shape
    error = float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    return error, max((error for _, error in draft.approximated), default=0.0)


@pytest.mark.filterwarnings("ignore:.*LazyModule")
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_the_modules(name: str) -> None:
    assert checked(NETWORKS[name], (3, 16, 16))[0] < 5e-5


SMOOTHED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "efficientnet": (mobile(nn.SiLU, nn.Sigmoid()), (3, 16, 16)),
    "cbam and eca": (stem(Attention(), Head(8)), (3, 16, 16)),
    "gelu": (nn.Sequential(cbr(3, 8, act=nn.GELU), Head(8)), (3, 16, 16)),
    "wavenet": (Audio(), (2, 24, 1)),
}


@pytest.mark.parametrize("name", SMOOTHED)
def test_smooth_networks_are_near_the_module_with_the_flag(name: str) -> None:
    network, shape = SMOOTHED[name]
    error, stated = checked(network, shape, 0.01)
    assert 0 < stated <= 0.01
    assert error < 0.05
    with pytest.raises(UnsupportedLayerError, match="--approximate"):
        lower(network, shape)


def test_a_network_of_sound() -> None:
    assert checked(Sound(), (1, 160, 1))[0] < 5e-5


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "convnext": (ConvNeXt(), "native_layer_norm: .*LayerNorm.*variance: train or fine-tune with BatchNorm"),
    "transformer": (Transformer(), "product of two values.*attention"),
    "recurrent": (Recurrent(), "recurrent layer.*1-D convolutions"),
    "group norm": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), "GroupNorm.*BatchNorm"),
    "instance norm": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), "running statistics"),
    "response norm": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LocalResponseNorm(2)), "pow|divisor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_the_reason_and_a_way_round(name: str) -> None:
    network, message = REFUSED[name]
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(network, (3, 16, 16), Smooth(np.zeros((2, 3, 16, 16), np.float32), 0.01))
    assert "\n" not in str(caught.value)
