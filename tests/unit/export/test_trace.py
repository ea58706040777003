from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pi_system.errors import UnsupportedLayerError
from pi_system.export.exporter import lower
from pi_system.program.float_point import FloatInterpreter
from pi_system.train.relu import MaskedReLU

SHAPE = (2, 6, 6)


class Net(nn.Module):
    """conv, then ``body`` with access to the network's layers."""

    def __init__(self, body: Callable[["Net", Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.body = body
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, self.conv(x))


def ops_and_error(network: nn.Module) -> tuple[list[str], float]:
    """The lowered graph's operations, and its distance from the module on random pictures."""
    network = network.eval()
    draft = lower(network, SHAPE)
    graph = draft.graph()
    pictures = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(pictures)
    found = FloatInterpreter(draft.masks, draft.float_weights()).run(graph, pictures)
    assert found.shape == expected.shape
    return [node.op for node in graph], float((found - expected).abs().max())


FLATTENS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "torch.flatten": lambda _, x: torch.flatten(x, 1),
    "method": lambda _, x: x.flatten(1),
    "view_size": lambda _, x: x.view(x.size(0), -1),
    "view_shape": lambda _, x: x.view(x.shape[0], -1),
    "view_sizes": lambda _, x: x.view(x.size()[0], x.shape[1] * x.shape[2] * x.shape[3]),
    "view_minus_one": lambda _, x: x.view(-1, 144),
    "reshape": lambda _, x: x.contiguous().reshape(x.size(0), -1),
    "torch.reshape": lambda _, x: torch.reshape(x, (x.size(0), -1)),
    "module": lambda net, x: net.flat(x),  # type: ignore[operator]
}


@pytest.mark.parametrize("form", FLATTENS)
def test_every_way_to_flatten(form: str) -> None:
    ops, error = ops_and_error(Net(FLATTENS[form], flat=nn.Flatten()))
    assert ops == ["input", "conv2d", "flatten"]
    assert error < 1e-5


RELUS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "module": lambda net, x: net.relu(x).flatten(1),  # type: ignore[operator]
    "F.relu": lambda _, x: F.relu(x).flatten(1),
    "F.relu_inplace": lambda _, x: F.relu(x, inplace=True).flatten(1),
    "torch.relu": lambda _, x: torch.relu(x).flatten(1),
    "method": lambda _, x: x.relu().flatten(1),
    "method_": lambda _, x: x.relu_().flatten(1),
}


@pytest.mark.parametrize("form", RELUS)
def test_every_way_to_write_relu(form: str) -> None:
    ops, error = ops_and_error(Net(RELUS[form], relu=nn.ReLU(inplace=True)))
    assert ops == ["input", "conv2d", "relu", "flatten"]
    assert error < 1e-5


POOLS: dict[str, tuple[str, Callable[[Net, Tensor], Tensor]]] = {
    "adaptive": ("avgpool2d", lambda _, x: F.adaptive_avg_pool2d(x, 1).flatten(1)),
    "adaptive_two": ("avgpool2d", lambda _, x: F.adaptive_avg_pool2d(x, (2, 3)).flatten(1)),
    "mean": ("avgpool2d", lambda _, x: x.mean((2, 3))),
    "mean_negative": ("avgpool2d", lambda _, x: x.mean(dim=[-1, -2])),
    "torch.mean": ("avgpool2d", lambda _, x: torch.mean(x, dim=(2, 3), keepdim=True).flatten(1)),
    "average": ("avgpool2d", lambda _, x: F.avg_pool2d(x, 3, 2, padding=1).flatten(1)),
    "average_last_size": ("avgpool2d", lambda _, x: F.avg_pool2d(x, x.shape[-1]).flatten(1)),
    "max": ("maxpool2d", lambda _, x: F.max_pool2d(x, 3, 2, 1).flatten(1)),
    "max_named": ("maxpool2d", lambda _, x: F.max_pool2d(x, kernel_size=(2, 3)).flatten(1)),
    "module": ("maxpool2d", lambda net, x: net.pool(x).flatten(1)),  # type: ignore[operator]
}


@pytest.mark.parametrize("form", POOLS)
def test_every_way_to_pool(form: str) -> None:
    op, body = POOLS[form]
    ops, error = ops_and_error(Net(body, pool=nn.MaxPool2d(3, 2)))
    assert ops == ["input", "conv2d", op, "flatten"]
    assert error < 1e-5


SUMS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "operator": lambda _, x: (x + F.relu(x)).flatten(1),
    "torch": lambda _, x: torch.add(x, F.relu(x)).flatten(1),
    "method": lambda _, x: x.add(F.relu(x)).flatten(1),
    "same_twice": lambda _, x: (x + x).flatten(1),
    "concat": lambda _, x: torch.cat([x, F.relu(x)], dim=1).flatten(1),
    "concat_negative": lambda _, x: torch.cat((x, x, F.relu(x)), -3).flatten(1),
    "iadd": lambda _, x: _iadd(F.relu(x), x).flatten(1),
}


def _iadd(y: Tensor, x: Tensor) -> Tensor:
    y += x
    return y


@pytest.mark.parametrize("form", SUMS)
def test_sums_and_concatenations(form: str) -> None:
    _, error = ops_and_error(Net(SUMS[form]))
    assert error < 1e-5


def test_dropout_identity_and_dead_code_are_gone() -> None:
    def body(net: Net, x: Tensor) -> Tensor:
        _ = net.unused(x)  # type: ignore[operator]
        return F.dropout(net.drop(net.same(x)), training=net.training).flatten(1)  # type: ignore[operator]

    network = Net(body, unused=nn.Conv2d(4, 4, 1), drop=nn.Dropout2d(), same=nn.Identity())
    ops, error = ops_and_error(network)
    assert ops == ["input", "conv2d", "flatten"]
    assert error < 1e-5


def test_one_module_used_twice_becomes_two_nodes() -> None:
    network = Net(
        lambda net, x: net.relu(net.again(net.relu(net.again(x)))).flatten(1),  # type: ignore[operator]
        again=nn.Conv2d(4, 4, 3, padding=1),
        relu=nn.ReLU(),
    )
    ops, error = ops_and_error(network)
    assert ops == ["input", "conv2d", "conv2d", "relu", "conv2d", "relu", "flatten"]
    assert error < 1e-5


IN_PLACE: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "module": lambda net, x: (net.conv2(net.relu(x)) + x).flatten(1),  # type: ignore[operator]
    "function": lambda net, x: (net.conv2(F.relu(x, inplace=True)) + x).flatten(1),  # type: ignore[operator]
    "method": lambda net, x: (net.conv2(x.relu_()) + x).flatten(1),  # type: ignore[operator]
    "add_": lambda net, x: (net.conv2(x.add_(net.conv2(x))) + x).flatten(1),  # type: ignore[operator]
}


@pytest.mark.parametrize("form", IN_PLACE)
def test_operations_in_place_change_what_is_read_later(form: str) -> None:
    network = Net(IN_PLACE[form], conv2=nn.Conv2d(4, 4, 3, padding=1), relu=nn.ReLU(inplace=True))
    assert ops_and_error(network)[1] < 1e-5


def through(layer: nn.Module) -> Net:
    return Net(lambda net, x: net.layer(x).flatten(1), layer=layer)  # type: ignore[operator]


@pytest.mark.parametrize(("kernel", "dilation", "padding"), [(3, 2, 2), ((3, 1), (2, 3), 0), (3, 2, "same")])
def test_dilated_kernels_are_exported_with_their_zeros(kernel: Any, dilation: Any, padding: Any) -> None:
    assert ops_and_error(through(nn.Conv2d(4, 4, kernel, dilation=dilation, padding=padding)))[1] < 1e-5


class Cosine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cos()


REFUSED: dict[str, tuple[str, nn.Module]] = {
    "nested": (r"layer\.0.*gelu", through(nn.Sequential(nn.GELU()))),
    "mask_shape": ("layer.*shape", through(MaskedReLU((4, 5, 5), stage=1, block=0))),
    "after views": (
        "cos: expected a ReLU",
        through(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), Cosine())),
    ),
    "channels": ("layer layer.*RuntimeError", through(nn.Conv2d(3, 4, 3))),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_anything_else_is_refused_by_name(kind: str) -> None:
    message, network = REFUSED[kind]
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(network, SHAPE)
    assert "\n" not in str(caught.value)
