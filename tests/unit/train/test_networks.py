import pytest
import torch

from pi_system.train import MaskedReLU, NetworkSpec, ReluTracer, ResNet, build_network, named_relus


@pytest.mark.parametrize(
    "name",
    [
        "resnet18:m=4,size=8",
        "resnet34:m=2,size=12",
        "hrn-2x5x3x:m=2,size=9",
        "resnet50:m=2,size=10",
        "wrn-22-8:m=1,size=8",
        "vgg16:m=2,size=8",
        "resnet18:m=2,size=12,stride=2",
        "resnet18:m=2,size=8,depth=00-11-12-20",
        "wrn-16-2:m=2,size=8,depth=01-12-11",
        "vgg16:m=2,size=32,depth=00-01-111-011-111",
        "cnet1:m=2,size=8",
        "sphynx-8:m=1,size=16,stride=2",
        "sphynx-5:m=1,size=8",
    ],
)
def test_declared_relu_shapes_and_order_are_those_of_the_forward_pass(name: str) -> None:
    spec = NetworkSpec.parse(name)
    network = build_network(spec, seed=0).eval()
    seen = []
    for path, relu in named_relus(network).items():
        relu.register_forward_hook(lambda _m, _i, out, path=path: seen.append((path, tuple(out.shape[1:]))))
    logits = network(torch.randn(2, 3, spec.size, spec.size))
    assert logits.shape == (2, 100)
    assert seen == [(path, relu.shape) for path, relu in named_relus(network).items()]


def test_same_seed_same_weights_without_touching_the_global_generator() -> None:
    spec = NetworkSpec.parse("resnet18:m=2,size=8")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second, other = (build_network(spec, seed=seed).fc.weight for seed in (5, 5, 6))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_every_relu_is_one_node_of_the_traced_graph(tiny: ResNet) -> None:
    traced = ReluTracer().trace_module(tiny.eval())
    leaves = [n.target for n in traced.graph.nodes if n.op == "call_module"]
    relus = [target for target in leaves if isinstance(tiny.get_submodule(target), MaskedReLU)]
    assert relus == list(named_relus(tiny))
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(traced(x), tiny(x))
