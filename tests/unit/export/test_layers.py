"""Everything that is supported besides convolutions, ReLUs and plain pools: logits are the module's, or a refusal."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from pi_system.errors import UnsupportedLayerError
from pi_system.export.exporter import lower
from pi_system.export.trace import finished, outputs_of
from pi_system.program.float_point import FloatInterpreter

SHAPE = (4, 7, 9)
torch.manual_seed(0)  # of the weights below


class Fn(nn.Module):
    """A function of the picture, after a convolution, whose layers it may use."""

    def __init__(self, body: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.conv, self.body = nn.Conv2d(4, 4, 3, padding=1), body
        self.learned = nn.Parameter(torch.randn(4, 1, 1))
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.body(self, self.conv(x))


def error_of(network: nn.Module, shape: tuple[int, ...] = SHAPE) -> float:
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.normal_(module.weight)
    network = network.eval()
    draft = lower(network, shape)
    pictures = 2 * torch.randn(3, *shape)
    with torch.no_grad():
        expected = outputs_of(network(pictures.clone()))
    found = finished(FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), pictures), draft.finals)
    assert found.shape == expected.shape
    return float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))


class ScaledConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Asking(nn.Module):
    """As timm writes layers: shapes are asked and asserted, branches depend on flags."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 4, f"expected 4D, found {x.ndim}"
        torch._assert(x.shape[1] == 4, "channels")  # type: ignore[no-untyped-call]
        n, c, h, w = x.shape
        if h > 3 and not self.training:
            x = F.relu(self.bn(x))
        return x.reshape(n, c, h * w).mean(-1)


def shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def pruned() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3)
    prune.l1_unstructured(conv, "weight", 0.5)  # type: ignore[no-untyped-call]
    return conv


def layer(module: nn.Module) -> nn.Module:
    return Fn(lambda net, x: net.layer(x), layer=module)


def rows() -> nn.Module:
    """As vision transformers write layers: rows of all pictures and positions."""
    return nn.Sequential(nn.Linear(4, 5), nn.LeakyReLU(0.1), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))


def written_into(_: Any, x: Tensor) -> Tensor:
    out = torch.zeros(x.shape[0], 8, *x.shape[2:])
    out[:, ::2] = x
    out[:, 1::2] = F.relu(x)
    return F.relu(out - 0.2)


def zeroed(_: Any, x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :, 2:4, 3] = 0
    return F.relu(x + 0.1)


HALF = torch.tensor([0.5, -1.0, 2.0, 0.25]).reshape(4, 1, 1)

SUPPORTED: dict[str, nn.Module] = {
    "relu6": layer(nn.ReLU6()),
    "hardtanh": layer(nn.Hardtanh(-0.5, 2)),
    "clamp": Fn(lambda _, x: x.clamp(-1, 1.5)),
    "clamp_min": Fn(lambda _, x: torch.clamp(x, min=0.3)),
    "clamp_max": Fn(lambda _, x: x.clamp(max=0.3)),
    "leaky": layer(nn.LeakyReLU(0.1)),
    "leaky_inplace": layer(nn.LeakyReLU(0.1, inplace=True)),
    "prelu": layer(nn.PReLU(4)),
    "prelu_one": layer(nn.PReLU()),
    "abs": Fn(lambda _, x: x.abs()),
    "hardsigmoid": layer(nn.Hardsigmoid()),
    "threshold": layer(nn.Threshold(0.5, 0.5)),
    "max": Fn(lambda net, x: torch.maximum(x, net.learned * x.flip(1))),
    "min": Fn(lambda _, x: torch.min(x, x.flip(1))),
    "maxout": Fn(lambda _, x: torch.max(x[:, :2], x[:, 2:])),
    "softmax": Fn(lambda _, x: F.softmax(x.mean((2, 3)), 1)),
    "log_softmax": Fn(lambda _, x: F.log_softmax(x.mean((2, 3)), dim=-1)),
    "sigmoid": Fn(lambda _, x: torch.sigmoid(x.mean((2, 3)))),
    "asymmetric": Fn(lambda net, x: net.layer(F.pad(x, (1, 0, 2, 1))), layer=nn.Conv2d(4, 3, 3)),
    "constant_pad": Fn(lambda net, x: net.layer(F.pad(x, (1, 2, 0, 1), value=0.7)), layer=nn.Conv2d(4, 3, 3)),
    "crop": Fn(lambda net, x: net.layer(F.pad(x, (-1, 0, 1, -2))), layer=nn.Conv2d(4, 3, 3)),
    "reflect": layer(nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect")),
    "replicate": layer(nn.Conv2d(4, 3, 3, padding=1, padding_mode="replicate")),
    "same_even": layer(nn.Conv2d(4, 3, 4, padding="same")),
    "dilated_group": layer(nn.Conv2d(4, 6, 3, dilation=2, groups=2, padding=1)),
    "max_ceil": layer(nn.MaxPool2d(3, 2, ceil_mode=True)),
    "max_ceil_pad": layer(nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
    "max_dilated": layer(nn.MaxPool2d(2, 1, dilation=2)),
    "average_ceil": layer(nn.AvgPool2d(3, 2, 1, ceil_mode=True)),
    "average_uncounted": layer(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "average_divisor": layer(nn.AvgPool2d(3, 2, divisor_override=5)),
    "adaptive_uneven": layer(nn.AdaptiveAvgPool2d((3, 4))),
    "adaptive_max": layer(nn.AdaptiveMaxPool2d((3, 4))),
    "global_max": Fn(lambda _, x: x.amax((2, 3))),
    "mean_rows": Fn(lambda _, x: x.mean(2)),
    "mean_columns": Fn(lambda _, x: x.mean(-1, keepdim=True)),
    "mean_channels": Fn(lambda _, x: x.mean(1)),
    "mean_all": Fn(lambda _, x: x.mean((1, 2, 3))),
    "sum": Fn(lambda _, x: x.sum((2, 3)) / 10),
    "squeeze": Fn(lambda _, x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1)),
    "multiply": Fn(lambda _, x: 2 * x * HALF / 3),
    "shift": Fn(lambda _, x: 1 - (x + 0.5 - HALF)),
    "learned": Fn(lambda net, x: F.relu(x * net.learned + net.learned)),
    "subtract": Fn(lambda _, x: F.relu(x) - 0.5 * x),
    "same_twice": Fn(lambda _, x: F.relu(x + 2 * x)),
    "shuffle": Fn(lambda net, x: net.layer(shuffled(x)), layer=nn.Conv2d(4, 4, 3, groups=2)),
    "shuffle_module": Fn(lambda net, x: net.layer(x), layer=nn.ChannelShuffle(2)),
    "chunk": Fn(lambda _, x: torch.cat([F.relu(part) for part in x.chunk(2, 1)][::-1], 1)),
    "split": Fn(lambda _, x: sum(F.relu(part).mean(1) for part in torch.split(x, [1, 3], 1))),
    "slice": Fn(lambda _, x: x[:, 1:, ::2, 1:-1]),
    "flip_roll": Fn(lambda _, x: F.relu(x.flip(2)).roll(2, 3)),
    "spatial_cat": Fn(lambda _, x: torch.cat([x, F.relu(x)], 2)),
    "stack": Fn(lambda _, x: torch.stack([x, F.relu(x)], 2)),
    "unshuffle": Fn(lambda net, x: net.layer(F.pixel_unshuffle(x[:, :, :6, :8], 2)), layer=nn.Conv2d(16, 3, 1)),
    "pixel_shuffle": Fn(lambda net, x: net.layer(F.pixel_shuffle(F.relu(x), 2)), layer=nn.Conv2d(1, 3, 3)),
    "transposed": layer(nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2)),
    "transposed_dilated": layer(nn.ConvTranspose2d(4, 3, (3, 2), (1, 3), dilation=2)),
    "nearest": layer(nn.Upsample(scale_factor=2)),
    "nearest_size": Fn(lambda _, x: F.interpolate(x, size=(5, 13))),
    "bilinear": layer(nn.Upsample(scale_factor=2, mode="bilinear")),
    "bilinear_corners": layer(nn.Upsample(size=(10, 12), mode="bilinear", align_corners=True)),
    "conv1d": Fn(lambda net, x: net.layer(x.flatten(2)), layer=nn.Conv1d(4, 3, 5, 2, 1)),
    "pool1d": Fn(lambda net, x: net.layer(F.relu(x.flatten(2))), layer=nn.MaxPool1d(3)),
    "average1d": Fn(lambda net, x: net.layer(x.mean(3)), layer=nn.AvgPool1d(3)),
    "norm1d": Fn(lambda net, x: F.relu(net.layer(x.flatten(2))), layer=nn.BatchNorm1d(4)),
    "embedding": Fn(lambda _, x: F.relu(x + torch.linspace(0, 1, 252).reshape(4, 7, 9))),
    "sync": layer(nn.SyncBatchNorm(4)),
    "subclass": layer(ScaledConv(4, 3, 3)),
    "pruned": layer(pruned()),
    "weight_norm": layer(parametrizations.weight_norm(nn.Conv2d(4, 3, 3))),
    "functional": Fn(lambda net, x: F.conv2d(x, net.learned.reshape(1, 4, 1, 1).expand(2, 4, 1, 1))),
    "asking": Fn(lambda net, x: net.layer(x), layer=Asking()),
    "linear_map": Fn(lambda net, x: net.layer(F.relu(x)), layer=nn.Linear(9, 5)),
    "tokens": Fn(lambda net, x: F.relu(net.layer(x.flatten(2).transpose(1, 2))).mean(1), layer=nn.Linear(4, 5)),
    "permuted_head": Fn(lambda net, x: net.layer(x.permute(0, 2, 3, 1).flatten(1)), layer=nn.Linear(252, 5)),
    "several": Fn(lambda _, x: (x.mean((2, 3)), {"map": F.relu(x)})),
    "cumsum": Fn(lambda _, x: F.relu(x).mean((2, 3)).cumsum(1)),
    "einsum": Fn(lambda net, x: torch.einsum("nchw,kc->nkhw", F.relu(x), net.learned.reshape(2, 2).repeat(1, 2))),
    "square": Fn(lambda _, x: x**2 + x * x),
    "cube": Fn(lambda _, x: x**3),
    "fourth": Fn(lambda _, x: x.pow(4)),
    "hardswish": layer(nn.Hardswish()),
    "excitation": Fn(lambda _, x: x * F.hardsigmoid(x.mean((2, 3), keepdim=True))),
    "gate": Fn(lambda _, x: F.relu(x) * (x.mean(1, keepdim=True) + 1)),
    "gate of rows": Fn(lambda _, x: F.relu(x).mean((2, 3)) * x.amax((2, 3))),
    "position": Fn(lambda net, x: F.relu(x * torch.linspace(-1, 1, 63).reshape(7, 9))),
    "position_conv": Fn(lambda net, x: net.layer(x * torch.linspace(-1, 1, 9)), layer=nn.Conv2d(4, 3, 3)),
    "circular": layer(nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular")),
    "through_view": Fn(lambda _, x: F.relu((x.flatten(1).relu_(), x)[1] - 0.5)),
    "written_into": Fn(written_into),
    "zeroed": Fn(zeroed),
    "out": Fn(lambda _, x: torch.add(x, F.relu(x), out=torch.empty(0))),
    "where": Fn(lambda _, x: torch.where(torch.arange(9) < 4, F.relu(x), x)),
    "masked": Fn(lambda _, x: x.masked_fill(torch.arange(9) > 4, 0.5)),
    "max_channels": Fn(lambda _, x: x.max(1).values),
    "max_rows": Fn(lambda _, x: torch.max(x, dim=2, keepdim=True)[0]),
    "min_map": Fn(lambda _, x: x.amin((2, 3))),
    "spatial_attention": Fn(
        lambda net, x: x * F.hardsigmoid(net.layer(torch.cat([x.mean(1, True), x.amax(1, True)], 1))),
        layer=nn.Conv2d(2, 1, 3, padding=1),
    ),
    "tensor_bounds": Fn(lambda net, x: torch.clamp(x, min=-net.learned.abs(), max=torch.tensor(0.7))),
    "softshrink": layer(nn.Softshrink(0.3)),
    "rrelu": layer(nn.RReLU()),
    "lerp": Fn(lambda _, x: torch.lerp(x, F.relu(x), 0.3)),
    "addcmul": Fn(lambda net, x: torch.addcmul(x, F.relu(x), net.learned, value=0.5)),
    "bicubic": layer(nn.Upsample(scale_factor=1.5, mode="bicubic")),
    "antialiased": Fn(lambda _, x: F.interpolate(x, size=(4, 5), mode="bilinear", antialias=True)),
    "linear1d": Fn(lambda _, x: F.interpolate(x.flatten(2), size=40, mode="linear")),
    "from_one": Fn(
        lambda _, x: F.interpolate(x.mean((2, 3), keepdim=True), size=(3, 5), mode="bilinear") + x[:, :, :3, :5]
    ),
    "adaptive_many": Fn(lambda _, x: F.adaptive_avg_pool2d(F.pad(x, (7, 7)), (5, 11))),
    "same_pool": Fn(lambda _, x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)),
    "rows_of_all": Fn(
        lambda net, x: net.layer(x.permute(0, 2, 3, 1).reshape(-1, 4)).view(x.shape[0], -1), layer=rows()
    ),
    "grouped_linear": Fn(
        lambda net, x: torch.einsum("ngi,gio->ngo", x.flatten(2), net.learned.reshape(4, 1, 1).expand(4, 63, 2))
    ),
    "log_sigmoid": Fn(lambda _, x: F.logsigmoid(x.mean((2, 3)))),
    "viewed_sigmoid": Fn(lambda _, x: torch.sigmoid(x.mean((2, 3), keepdim=True)).flatten(1)),
    "odd names": nn.Sequential(),
}
SUPPORTED["odd names"].add_module("conv-1 (a/b)", nn.Conv2d(4, 3, 3))
SUPPORTED["odd names"].add_module("ü", nn.ReLU())


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kind", SUPPORTED)
def test_logits_are_the_modules(kind: str) -> None:
    assert error_of(SUPPORTED[kind]) < 2e-5


def test_normalisation_inside_forward() -> None:
    mean, std = torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1), torch.tensor([0.2, 0.3, 0.25]).reshape(3, 1, 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv((x - mean) / std)).mean((2, 3))

    assert error_of(Net(), (3, 6, 6)) < 2e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    lower(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()).to(dtype), (3, 6, 6))


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


REFUSED: dict[str, tuple[str, nn.Module]] = {
    "gelu": (r"gelu.*--approximate.*ReLU", layer(nn.GELU())),
    "silu": (r"silu.*--approximate.*ReLU", layer(nn.SiLU())),
    "sigmoid_inside": (r"sigmoid.*end.*--approximate", Fn(lambda _, x: F.relu(torch.sigmoid(x) - 0.5))),
    "tanh": (r"tanh.*--approximate.*ReLU", Fn(lambda _, x: x.tanh())),
    "group_norm": ("GroupNorm.*variance", layer(nn.GroupNorm(2, 4))),
    "layer_norm": ("LayerNorm.*variance", layer(nn.LayerNorm(9))),
    "no_statistics": ("running", layer(nn.BatchNorm2d(4, track_running_stats=False))),
    "attention": ("product of two values", Fn(lambda _, x: x @ x.transpose(2, 3))),
    "decision": ("one way.*test_layers.py", Deciding()),
    "divisor": ("divisor", Fn(lambda _, x: 1 / x)),
    "across": ("batch", Fn(lambda _, x: F.relu(x.flip(0)))),
    "dropout": (r"training=self\.training", Fn(lambda _, x: F.relu(F.dropout(x)))),
    "noise": ("randn_like.*if self.training", Fn(lambda _, x: x + torch.randn_like(x))),
    "stacked": (r"another axis \(dim=1\)", Fn(lambda _, x: torch.stack([x, F.relu(x)]).mean(0))),
    "averaged_softmax": ("softmax.*leave it out", Fn(lambda _, x: x.mean((2, 3)).softmax(1) / 2 + 1)),
    "fourier": ("_fft_r2c.*matrix of the transform", Fn(lambda _, x: torch.fft.rfft2(x).real)),
    "bilinear": (
        "_trilinear.*two linear layers",
        Fn(lambda net, x: net.layer(x.flatten(1), x.flatten(1)), layer=nn.Bilinear(252, 252, 2)),
    ),
    "own_error": ("layer layer.*RuntimeError", layer(nn.Conv2d(3, 4, 3))),
    "conv3d": ("spatial", Fn(lambda net, x: net.layer(x.unsqueeze(1)), layer=nn.Conv3d(1, 1, 3))),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_says_which_layer_which_line_and_what_instead(kind: str) -> None:
    message, network = REFUSED[kind]
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(network.eval(), SHAPE)
    assert "\n" not in str(caught.value)
    assert ".py:" in str(caught.value)


def test_a_normalisation_before_a_relu_needs_no_product_where_its_scale_is_positive() -> None:
    network = Fn(lambda net, x: F.relu(net.bn(torch.cat([x, F.relu(x)], 1))).mean((2, 3)), bn=nn.BatchNorm2d(8)).eval()
    with torch.no_grad():
        network.bn.weight.uniform_(0.1, 2)  # type: ignore[union-attr, operator]
        network.bn.bias.normal_()  # type: ignore[union-attr, operator]
    graph = lower(network, SHAPE).graph()
    assert [node.op for node in graph].count("affine") == 1
    with torch.no_grad():
        network.bn.weight[0] = -1  # type: ignore[union-attr, operator]
    assert "affine" not in [node.op for node in lower(network, SHAPE).graph()]


def test_relu6_is_one_layer_of_twice_the_relus() -> None:
    graph = lower(layer(nn.ReLU6()), SHAPE).graph()
    assert [relu.active for relu in graph.relus()] == [2 * 4 * 7 * 9]
