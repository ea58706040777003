from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pi_system.errors import ConfigError
from pi_system.train import NetworkSpec, build_network, count_network, named_relus
from pi_system.train.channels import Channels, channels_of, masked_weights, narrow
from pi_system.train.mixed import Kind, load_weights, mix, square_count

FAMILIES = [
    "resnet18:m=4,size=8",
    "resnet50:m=2,size=8",
    "wrn-16-1:m=2,size=8",
    "wrn-16-2:m=2,size=8",
    "vgg16:m=2,size=8",
    "minionn:m=4,size=8",
    "hrn-2x5x3x:m=2,size=8",
    "resnet18:m=2,size=8,depth=21-12-11-10",
    "cnet:m=4,size=8,arch=0-31-100",
    "sphynx:m=2,size=8,arch=s0c1.a2d0-c0e1.s0s2-nrnr",
]


def _trained(name: str) -> Any:
    """A network whose batch normalisations and masks are not those of a new one."""
    torch.manual_seed(3)
    network = build_network(NetworkSpec.parse(name), seed=0)
    for relu in named_relus(network).values():
        relu.set_mask(torch.rand(relu.shape) < 0.7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network.eval()


def _half(channels: Channels) -> list[Tensor]:
    return [torch.sort(torch.randperm(g.size)[: max(1, g.size // 2)]).values for g in channels.groups]


def _masked(network: Any, channels: Channels, kept: list[Tensor], x: Tensor) -> Any:
    """What the network computes without the other channels."""
    masks = [
        torch.zeros(g.size, dtype=x.dtype).index_fill(0, k, 1.0) for g, k in zip(channels.groups, kept, strict=True)
    ]
    return functional_call(network, masked_weights(network, channels, masks), (x,))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_narrowed_network_is_the_masked_one(name: str) -> None:
    network = _trained(name)
    channels = channels_of(network)
    kept, x = _half(channels), torch.randn(3, 3, 8, 8)
    expected = _masked(network, channels, kept, x)
    before = network(x)
    narrow(network, channels, kept)
    assert torch.allclose(network(x), expected, atol=1e-4)
    assert not torch.allclose(before, expected, atol=1e-2)


@pytest.mark.parametrize("name", FAMILIES)
def test_polynomials_are_narrowed_too(name: str) -> None:
    network = _trained(name)
    for path in named_relus(network):
        layer = mix(network, path)
        layer.set_kinds(torch.randint(0, 1 + max(Kind), layer.shape).to(torch.uint8))
        nn.init.normal_(layer.coefficients, std=0.1)
    network.double()
    channels = channels_of(network)
    kept, x = _half(channels), torch.randn(3, 3, 8, 8, dtype=torch.float64)
    expected = _masked(network, channels, kept, x)
    squares = square_count(network)
    narrow(network, channels, kept)
    torch.testing.assert_close(network(x), expected)
    assert 0 < square_count(network) < squares
    spec = NetworkSpec.parse(f"{name},filters={'.'.join(str(len(k)) for k in kept)}")
    rebuilt = build_network(spec, seed=1).double().eval()
    load_weights(rebuilt, network.state_dict())
    assert torch.equal(rebuilt(x), network(x))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_name_builds_the_narrowed_network(name: str) -> None:
    network = _trained(name)
    channels = channels_of(network)
    kept = [torch.arange(g.size)[-max(1, g.size // 3) :] for g in channels.groups]
    narrow(network, channels, kept)
    spec = NetworkSpec.parse(f"{name},filters={'.'.join(str(len(k)) for k in kept)}")
    assert NetworkSpec.parse(str(spec)) == spec
    rebuilt = build_network(spec, seed=1)
    rebuilt.load_state_dict(network.state_dict())
    assert [r.shape for r in named_relus(rebuilt).values()] == [r.shape for r in named_relus(network).values()]
    counts = count_network(rebuilt, (3, 8, 8))
    assert counts.macs < count_network(build_network(NetworkSpec.parse(name)), (3, 8, 8)).macs
    assert (counts.macs, counts.parameters) == tuple(
        getattr(count_network(build_network(spec, device="meta"), (3, 8, 8)), key) for key in ("macs", "parameters")
    )


def test_streams_and_inner_layers_are_told_apart() -> None:
    channels = channels_of(build_network(NetworkSpec.parse("resnet18:m=4,size=8"), device="meta"))
    streams = [group for group in channels.groups if not group.inner]
    assert [len(group.writers) for group in streams] == [3, 3, 3, 3]  # stage 1: the stem; others: a shortcut
    assert streams[0].writers[0] == "stem_conv"
    assert len(channels.groups) - len(streams) == 8


@pytest.mark.parametrize(
    ("filters", "message"),
    [("1.1", "expected a number for each of 2.2.2"), ("0", "expected filters like"), ("3" + ".1" * 11, "found")],
)
def test_filters_that_do_not_fit_are_refused(filters: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(NetworkSpec.parse(f"resnet18:m=2,size=8,filters={filters}"))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((nn.Conv2d(2, 2, 3, groups=2),), "without groups"),
        ((nn.Conv2d(2, 2, 1), nn.GroupNorm(1, 2)), "found GroupNorm"),
        ((nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(7, 2)), "expected as many values of each"),
    ],
)
def test_layers_whose_channels_cannot_be_followed_are_named(layers: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        channels_of(nn.Sequential(*layers))
