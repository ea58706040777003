from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import pytest
import torch
from reductions import MakeTask
from torch import nn
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.export import export_network
from pi_system.program import mac_count, relu_layers
from pi_system.reduce import RandomMask, Shallow
from pi_system.reduce.sensitivity import loss_of_layers
from pi_system.reduce.shallow_fit import fit_merged
from pi_system.reduce.shallow_form import depth_of, most_sensitive
from pi_system.reduce.shallow_gate import GatedBlock, GateTraining, gated
from pi_system.reduce.shallow_weights import composed_kernel, inherit_weights, sites
from pi_system.train import NetworkSpec, build_network, fit, named_relus
from pi_system.train.counting import count_network
from pi_system.train.data.augment import Normalisation


@pytest.mark.parametrize("stride", [1, 2])
def test_composed_kernel_is_the_two_convolutions(stride: int) -> None:
    first, second = torch.randn(4, 3, 3, 3), torch.randn(5, 4, 3, 3)
    x = torch.randn(2, 3, 19, 19)
    expected = functional.conv2d(functional.conv2d(x, first, stride=stride), second)
    found = functional.conv2d(x, composed_kernel(first, second, stride), stride=stride)
    assert torch.allclose(found, expected, atol=1e-4)


def test_kept_layers_have_the_highest_summed_sensitivity(make_task: MakeTask) -> None:
    relus = named_relus(make_task(100).network)
    draw = torch.Generator().manual_seed(3)
    sensitivity = {name: float(torch.randn((), generator=draw)) for name in relus}
    for budget in (100, 300, 640, 1000):
        kept = most_sensitive(sensitivity, relus, budget)
        sets = chain.from_iterable(combinations(relus, k) for k in range(1, len(relus) + 1))
        best = max(
            sum(sensitivity[name] for name in names)
            for names in sets
            if sum(relus[name].size for name in names) <= budget
        )
        assert sum(sensitivity[name] for name in kept) == pytest.approx(best)
        assert all(sensitivity[name] > 0 for name in kept)  # nothing is kept to fill the budget


@pytest.mark.parametrize(
    ("network", "dropped", "depth"),
    [
        ("resnet18:m=4", (), ""),
        ("resnet18:m=4", ("stages.1.1.relu1",), "22-21-22-22"),
        ("resnet18:m=4", ("stages.1.1.relu2",), ""),  # after an addition: nothing merges
        (
            "resnet18:m=4",
            ("stages.0.0.relu1", "stages.0.0.relu2", "stages.2.0.relu1", "stages.2.0.relu2"),
            "02-22-12-22",
        ),
        ("hrn-5x5x3x:m=4", ("stages.1.0.relu1", "stages.3.0.relu1"), "22-32-22-12"),  # 1 to 5 pays, 1 to 3 does not
        ("wrn-16-1:m=4", ("stages.0.0.relu2", "stages.1.0.relu2"), "12-12-22"),
        ("wrn-16-2:m=4", ("stages.0.0.relu2", "stages.1.0.relu2"), "32-12-22"),  # 1 to 2 pays with stride 1
        ("wrn-16-2:m=4", ("stages.0.0.relu1",), ""),
        ("vgg16:m=16", ("layers.2", "layers.9"), "03-03-111-111-111"),  # the middle is as wide as the end
        ("vgg16:m=4", ("layers.16", "layers.19", "layers.22", "layers.32"), "11-11-001-110-111"),
    ],
)
def test_each_dropped_layer_decides_about_its_own_block(network: str, dropped: tuple[Any, ...], depth: str) -> None:
    spec = NetworkSpec.parse(network, size=8)
    built = build_network(spec, device="meta")
    assert set(dropped) <= set(named_relus(built))
    found = depth_of(spec, built, set(named_relus(built)) - set(dropped), exact=True)
    assert found == depth
    merged = build_network(replace(spec, depth=found), device="meta")
    assert count_network(merged, (3, 8, 8)).macs <= count_network(built, (3, 8, 8)).macs


def _random_statistics(network: Any) -> Any:
    draw = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))  # type: ignore[union-attr]
    return network.eval()


@pytest.mark.parametrize(
    ("network", "depth", "edge"),
    [
        ("resnet18:m=2", "21-12-11-22", 0),
        ("wrn-16-2:m=2", "21-12-22", 0),
        ("vgg16:m=2", "01-01-001-110-111", 0),
        ("hrn-5x5x3x:m=2", "33-32-22-22", 2),
        ("wrn-16-2:m=2", "32-32-22", 2),
    ],
)
def test_merging_is_exact_with_the_normalisations_shift(network: str, depth: str, edge: int) -> None:
    """Where kernels have a middle only, everywhere; exact products of whole kernels, away from the zero padding."""
    full = NetworkSpec.parse(network, size=16)
    spec = replace(full, depth=depth)
    deep, shallow = (_random_statistics(build_network(one, seed=0)) for one in (full, spec))
    pairs = sites(deep, full.full_depth), sites(shallow, spec.stage_depth)
    with torch.no_grad():
        for module in deep.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and not edge:
                middle = module.weight[..., 1, 1].clone()
                module.weight.zero_()[..., 1, 1] = middle
        for block in pairs[0].values():
            for relu in named_relus(block).values():
                relu.set_mask(relu.mask & False)
    inherit_weights(deep, shallow, full.full_depth, spec.stage_depth)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        if not edge:
            assert torch.allclose(shallow(x), deep(x), rtol=1e-3, atol=1e-3 * float(deep(x).abs().max()))
            return
        x = torch.randn(2, 2, 16, 16)
        found, expected = (blocks[0, 0](x) for blocks in pairs)
        assert torch.allclose(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-3)
        x = torch.randn(2, expected.shape[1], 16, 16)
        found, expected = (blocks[1, 0](x) for blocks in pairs)
        assert torch.allclose(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-3)


@pytest.mark.parametrize("network", ["resnet18:m=4", "wrn-16-1:m=4", "vgg16:m=4"])
def test_fitted_kernels_are_nearer_than_cropped_ones(make_task: MakeTask, network: str) -> None:
    full = make_task(1, network).spec
    depth = {"basic": "21-12-11-22", "preactivation": "21-12-11", "vgg": "01-01-001-110-110"}[full.kind]
    deep = _random_statistics(build_network(full, seed=0))
    draw = torch.Generator().manual_seed(1)
    kernel = torch.ones(1, 1, 3, 3) / 3
    pictures = torch.randn(3, 64, 1, 8, 8, generator=draw)
    pictures = functional.conv2d(pictures.flatten(0, 1), kernel, padding=1).unflatten(0, (3, 64))  # type: ignore[no-untyped-call]  # smooth, as pictures
    gaps = []
    for fitted in (False, True):
        shallow = build_network(replace(full, depth=depth), seed=1)
        merged = inherit_weights(deep, shallow, full.full_depth, tuple(depth.split("-")))
        assert len(merged) == {"basic": 4, "preactivation": 4, "vgg": 5}[full.kind]
        if fitted:
            fit_merged(shallow, deep, merged, list(pictures[:2]))
        with torch.no_grad():
            gaps.append(float((shallow.eval()(pictures[2]) - deep(pictures[2])).square().mean()))
    assert gaps[1] < 0.6 * gaps[0]


def test_gates_start_at_the_deep_network_and_end_at_the_shallow_one(make_task: MakeTask) -> None:
    task = make_task(300, epochs=1)
    spec = replace(task.spec, depth="01-12-11-10")
    shallow = build_network(spec, seed=1)
    inherit_weights(task.network, shallow, spec.full_depth, spec.stage_depth)
    both = gated(task.network, shallow, spec.full_depth, spec.stage_depth)
    assert sum(isinstance(module, GatedBlock) for module in both.modules()) == 7
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(both.eval()(x), task.network.eval()(x))
    companion = GateTraining(both, 0.5)
    assert float(companion.extra_loss().detach()) == 0.5  # type: ignore[union-attr]
    weight = shallow.stages[1][0].conv1.weight.clone()  # type: ignore[index, union-attr]
    fit(both, task.data, task.finetune, companion=companion, keep="last")
    with torch.no_grad():
        assert torch.equal(both.eval()(x), shallow.eval()(x))
    assert not torch.equal(weight, shallow.stages[1][0].conv1.weight)  # type: ignore[index, union-attr]  # it was trained


def test_exported_network_has_fewer_relu_layers_and_macs(make_task: MakeTask) -> None:
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


def test_untouched_weights_are_inherited_in_the_place_they_have() -> None:
    spec = NetworkSpec.parse("resnet18:m=2,size=8")
    source = build_network(spec, seed=0).eval()
    shallow = replace(spec, depth="02-12-11-10")
    target = build_network(shallow, seed=1).eval()
    inherit_weights(source, target, spec.full_depth, shallow.stage_depth)
    assert torch.equal(target.fc.weight, source.fc.weight)
    assert torch.equal(target.stages[0][0].conv2.weight, source.stages[0][1].conv2.weight)  # type: ignore[index, union-attr]
    pair = source.stages[1][0]  # type: ignore[index]
    whole = composed_kernel(pair.conv1.weight / (1 + pair.bn1.eps) ** 0.5, pair.conv2.weight, 2)  # type: ignore[union-attr]
    assert torch.allclose(target.stages[1][0].conv1.weight, whole[..., 2:5, 2:5], atol=1e-6)  # type: ignore[index, union-attr]


def test_a_networks_own_sensitivity_decides(make_task: MakeTask) -> None:
    """Of two blocks with the same counts the one that matters keeps its ReLUs, be it the first or the second."""
    task = make_task(700, epochs=0)
    relus = named_relus(task.network)
    kept = Shallow(fit=False).reduce(task).report["relu_layers_kept"]
    rise = loss_of_layers(task)
    for size in {relu.size for relu in relus.values()}:
        ranked = sorted((rise[name], name in kept) for name, relu in relus.items() if relu.size == size)
        assert [chosen for _, chosen in ranked] == sorted(chosen for _, chosen in ranked)


def test_reduced_and_bottleneck_networks_are_refused(make_task: MakeTask) -> None:
    pruned = "resnet18:m=2,filters=" + ".".join("1" * 12)
    for network in ("resnet50:m=1", "resnet18:m=2,depth=21-22-22-22", pruned):
        with pytest.raises(ConfigError, match="expected a network of basic blocks"):
            Shallow().reduce(make_task(100, network))
    once = RandomMask().reduce(make_task(500, epochs=0)).network
    with pytest.raises(ConfigError, match="with a reduced ReLU map"):
        Shallow().reduce(replace(make_task(400), network=once))
