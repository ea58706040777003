"""Networks of CryptoNAS and Sphynx: published counts, what a layer and a cell compute, and architectures as text."""

from typing import Any

import pytest
import torch
from torch import nn

from pi_system.errors import ConfigError
from pi_system.train import NetworkSpec, build_network, count_network, named_relus

# Base without m, ReLUs of the paper for CIFAR-100 (plotted, in thousands: 86, 344; 25.6, 30.2 for 30.7, 41.0, ...).
PUBLISHED = {
    "cnet1": 86_016,
    "cnet2": 344_064,
    "cnet3": 1_376_256,
    "sphynx-5": 25_600,
    "sphynx-6": 30_720,
    "sphynx-8": 40_960,
    "sphynx-10": 51_200,
    "sphynx-10:m=7": 71_680,
    "sphynx-10:m=10": 102_400,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_the_published_relus(name: str) -> None:
    spec = NetworkSpec.parse(name)
    assert NetworkSpec.parse(str(spec)) == spec
    counts = count_network(build_network(spec, device="meta"), (3, 32, 32))
    assert counts.relus == PUBLISHED[name] == sum(spec.blocks) * spec.m * 32 * 32
    per_layer = {layer.relus for layer in counts.layers if layer.relus}
    assert per_layer == {spec.m * 1024}  # balanced: every layer has as many


@pytest.mark.parametrize("name", ["cnet1:m=2,size=8", "sphynx-8:m=1,size=16,stride=2", "sphynx-5:m=1,size=8"])
def test_stages_and_blocks_are_in_order(name: str) -> None:
    spec = NetworkSpec.parse(name)
    stages = [(relu.stage, relu.block) for relu in named_relus(build_network(spec, device="meta")).values()]
    assert stages == sorted(stages)
    assert [stages.count((k, 0)) and sum(s == k for s, _ in stages) for k in (1, 2, 3)] == list(spec.blocks)


def test_a_layer_is_relu_convolution_concatenation_and_1x1() -> None:
    network: Any = build_network(NetworkSpec.parse("cnet:m=4,size=8,arch=0-31-211-0000-00000-000001"), seed=0).eval()
    body = network.body
    outputs = [torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)]
    layer = body.layers[1]
    assert layer.conv.kernel_size == (5, 5)
    expected = layer.merge(torch.cat([outputs[0], layer.bn(layer.conv(outputs[1].relu()))], 1))
    assert torch.equal(layer(outputs), expected)
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())


def test_a_cell_is_linear_up_to_its_relu() -> None:
    network: Any = build_network(NetworkSpec.parse("sphynx:m=2,size=8,arch=s0c1.v2d0.e1a2-c0v1-nrr"), seed=0).eval()
    cell = network.body.cells[0]
    cell.relu = nn.Identity()
    x, y = torch.randn(2, 2, 6, 8, 8), torch.randn(2, 2, 6, 8, 8)
    zero = cell(torch.zeros(2, 6, 8, 8), torch.zeros(2, 6, 8, 8))
    summed = cell(x[0] + y[0], x[1] + y[1])
    assert torch.allclose(summed - zero, cell(x[0], x[1]) + cell(y[0], y[1]) - 2 * zero, atol=1e-4)


def test_halvings_are_built_only_where_something_reads_them() -> None:
    network: Any = build_network(NetworkSpec.parse("cnet1"), device="meta")
    halved = {tuple(map(int, name.split("_"))) for name in network.body.halvings}
    assert halved == {(1, 0), (1, 1), (1, 2), (3, 3), (3, 4)}  # layer 2 skips from 0 and 1, layer 5 from 3 and 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cnet", "expected arch=..., or a published one: cnet1, cnet2, cnet3; found neither"),
        ("cnet1:arch=0-00-000", "expected no arch, which cnet and sphynx have; found"),
        ("resnet18:arch=0-00-000", "expected no arch, which cnet and sphynx have; found"),
        ("cnet:arch=0-00", "at least three layers"),
        ("cnet:arch=0-00-00", "an operation 0 to 3 and 2 skips in layer 2; found '00'"),
        ("cnet:arch=4-00-000", "found '4'"),
        ("sphynx:arch=s0s1-s0s1-nnr", "an order with two r"),
        ("sphynx:arch=s0s2-s0s1-rr", "states below 2"),
        ("sphynx:arch=s0x1-s0s1-rr", "found 's0x1'"),
        ("cnet1:size=10", "of 4, 8"),
        ("cnet1:depth=11-11-11", "expected a depth"),
    ],
)
def test_architectures_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NetworkSpec.parse(text)
