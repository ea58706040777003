"""The quadratic activation in networks: in place of ReLUs, traced, exported, trained."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.export.exporter import lower
from pi_system.program import relu_count, square_count, square_layers
from pi_system.program.float_point import FloatInterpreter
from pi_system.train import NetworkSpec, build_network, named_relus
from pi_system.train.networks import use_squares
from pi_system.train.square import Square

SPEC = "resnet18:m=2,classes=4,size=8,channels=1"


def test_a_square_by_hand() -> None:
    assert Square(3)(torch.tensor([-2.0, 4.0])).tolist() == [0.5, 2.0]
    assert repr(Square(3)) == "Square(halvings=3)"
    with pytest.raises(ConfigError, match="halvings"):
        Square(17)


def test_a_spec_puts_squares_in_the_place_of_every_relu() -> None:
    network = build_network(NetworkSpec.parse(f"{SPEC},activation=square"), seed=1)
    assert not named_relus(network)
    assert sum(isinstance(module, Square) for module in network.modules()) == 17
    reference = build_network(NetworkSpec.parse(SPEC), seed=1)
    convolutions = [name for name, weight in reference.named_parameters() if weight.ndim == 4]
    assert all(torch.equal(network.get_parameter(name), reference.get_parameter(name)) for name in convolutions)
    assert {norm.bias[0].item() for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)} == {1.0}


def test_the_exported_graph_computes_what_the_module_does() -> None:
    network = build_network(NetworkSpec.parse(f"{SPEC},activation=square"), seed=1).eval()
    draft = lower(network, (1, 8, 8))
    graph = draft.graph()
    assert (relu_count(graph), square_layers(graph)) == (0, 17)
    assert square_count(graph) == 2 * 64 * 5 + 4 * 16 * 4 + 8 * 4 * 4 + 16 * 4
    pictures = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = FloatInterpreter(draft.masks, draft.float_weights()).run(graph, pictures)
    with torch.no_grad():
        assert torch.allclose(found, network(pictures), atol=1e-5)


def test_dropped_layers_stay_dropped_and_partly_active_ones_are_refused() -> None:
    network = build_network(NetworkSpec.parse(SPEC), seed=1)
    relu = network.get_submodule("stages.1.0.relu1")
    relu.set_mask(torch.zeros(relu.shape, dtype=torch.bool))  # type: ignore[call-overload, operator]
    use_squares(network)
    assert list(named_relus(network)) == ["stages.1.0.relu1"]
    other = build_network(NetworkSpec.parse(SPEC), seed=1)
    relu = other.get_submodule("stem_relu")
    relu.set_mask(torch.arange(128).reshape(relu.shape) < 5)  # type: ignore[call-overload, operator]
    with pytest.raises(ConfigError, match="5 of 128 in stem_relu"):
        use_squares(other)


def test_a_network_of_squares_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 4
    pictures = torch.randn(64, 1, 8, 8, generator=generator)
    for row in range(8):
        pictures[:, 0, row] += (labels == row // 2)[:, None] * 1.5
    network: nn.Module = build_network(NetworkSpec.parse(f"{SPEC.replace('m=2', 'm=4')},activation=square"), seed=1)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.3, momentum=0.9)
    losses = []
    for _ in range(32):
        loss = functional.cross_entropy(network(pictures), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]  # with normalised values around 0 it stays at 1.0
