from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.export import export_network
from pi_system.program import mac_count, relu_layers
from pi_system.reduce import RandomMask, Shallow
from pi_system.reduce.shallow import stage_digits
from pi_system.reduce.shallow_weights import composed_kernel, inherit_weights
from pi_system.train import NetworkSpec, build_network
from pi_system.train.data.augment import Normalisation


@pytest.mark.parametrize("stride", [1, 2])
def test_composed_kernel_is_the_two_convolutions(stride):
    first, second = torch.randn(4, 3, 3, 3), torch.randn(5, 4, 3, 3)
    x = torch.randn(2, 3, 19, 19)
    expected = functional.conv2d(functional.conv2d(x, first, stride=stride), second)
    found = functional.conv2d(x, composed_kernel(first, second, stride), stride=stride)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "blocks", "kept", "stage", "digits"),
    [
        ("basic", 2, 4, 1, "22"),
        ("basic", 2, 3, 1, "21"),
        ("basic", 3, 3, 2, "111"),
        ("basic", 3, 1, 2, "100"),
        ("basic", 2, 0, 1, "00"),
        ("basic", 2, 0, 2, "10"),
        ("vgg", 3, 2, 4, "110"),
        ("vgg", 3, 0, 4, "100"),
    ],
)
def test_relu_layers_become_digits(kind, blocks, kept, stage, digits):
    assert stage_digits(kind, blocks, kept, stage) == digits


def test_exported_network_has_fewer_relu_layers_and_macs(make_task):
    task = make_task(300, epochs=1)
    result = Shallow().reduce(task)
    pictures = Normalisation.of(task.data.preprocess, torch.device("cpu"))(task.data.train.images[:32]).numpy()
    graphs = [
        export_network(network, task.data.preprocess, pictures, "n").public.graph
        for network in (task.network, RandomMask().reduce(task).network, result.network)
    ]
    rounds, macs = [relu_layers(graph) for graph in graphs], [mac_count(graph) for graph in graphs]
    assert rounds[2] < 0.6 * rounds[1] == 0.6 * rounds[0]
    assert macs[2] < 0.6 * macs[1] == 0.6 * macs[0]


def test_untouched_weights_are_inherited_and_merged_ones_near_the_product():
    source = build_network(NetworkSpec.parse("resnet18:m=2,size=8"), seed=0).eval()
    target = build_network(NetworkSpec.parse("resnet18:m=2,size=8,depth=21-12-11-10"), seed=1).eval()
    inherit_weights(source, target)
    assert torch.equal(target.fc.weight, source.fc.weight)
    assert torch.equal(target.stages[0][0].conv2.weight, source.stages[0][0].conv2.weight)
    pair = source.stages[0][1]
    whole = composed_kernel(pair.conv1.weight / (1 + pair.bn1.eps) ** 0.5, pair.conv2.weight, 1)
    assert torch.allclose(target.stages[0][1].conv1.weight, whole[..., 1:4, 1:4], atol=1e-6)


def test_reduced_and_bottleneck_networks_are_refused(make_task):
    for network in ("resnet50:m=1", "resnet18:m=2,depth=21-22-22-22"):
        with pytest.raises(ConfigError, match="expected a network of basic blocks"):
            Shallow().reduce(make_task(100, network))
    once = RandomMask().reduce(make_task(500, epochs=0)).network
    with pytest.raises(ConfigError, match="with a reduced ReLU map"):
        Shallow().reduce(replace(make_task(400), network=once))
