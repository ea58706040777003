from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import random_network
from torch import Tensor, nn

from pi_system.artifact import Preprocess, load, save
from pi_system.errors import InputError, UnsupportedLayerError
from pi_system.export import export_network, random_artifact
from pi_system.export.exporter import lower
from pi_system.export.random import random_pictures, randomise
from pi_system.program import mac_count, relu_count, relu_layers
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.train.networks import build_network
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec

PREPROCESS = Preprocess(channels=1, height=4, width=4, mean=(0.5,), std=(0.25,), classes=("a", "b"))


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize("seed", range(12))
def test_random_network_survives_export_and_the_disk(seed: int, tmp_path: Path) -> None:
    network, shape = random_network(seed)
    save(random_artifact(network, shape, seed, f"random:{seed}"), tmp_path / "model")
    artifact = load(tmp_path / "model")
    pictures = random_pictures(shape, 8, seed + 1)
    with torch.no_grad():
        expected = randomise(network, shape, seed)(torch.from_numpy(pictures)).numpy()
    assert np.abs(float_logits(artifact, pictures) - expected).max() < 0.02 * np.sqrt(expected.var(axis=1).mean())
    assert np.abs(fixed_logits(artifact, pictures)[1] - expected).max() < 0.05


def test_resnet_counts_agree_with_the_module_and_survive_export() -> None:
    spec = NetworkSpec.parse("resnet18:m=8,classes=10,size=16")
    network = build_network(spec, seed=0)
    artifact = random_artifact(network, (3, 16, 16), 0, "resnet18:m=8")
    graph = artifact.public.graph
    relus = named_relus(network)
    assert relu_count(graph) == sum(relu.active for relu in relus.values())
    assert relu_layers(graph) == len(relus) == 17
    assert {node.name for node in graph.relus()} == set(relus)
    assert not any("bn" in node.name for node in graph)  # every normalisation is folded


def test_full_resnet18_has_the_published_counts() -> None:
    network = build_network(NetworkSpec.parse("resnet18:m=64"), seed=0)
    graph = lower(network, (3, 32, 32)).graph()
    assert relu_count(graph) == 557_056
    assert round(mac_count(graph) / 1e6, 1) == 555.5


def test_export_does_not_change_the_module() -> None:
    network = small().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_network(network, PREPROCESS, random_pictures((1, 4, 4), 4, 0), "small")
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("shape", [(4, 4), (0, 1, 4, 4), (4, 1, 5, 4)])
def test_calibration_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="calibration"):
        export_network(small(), PREPROCESS, np.zeros(shape, dtype=np.float32), "small")


class Moody(nn.Module):
    """Computes something else for another number of pictures."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.body, self.scale = small(), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x if x.shape[0] == 2 else x + 1) * self.scale  # type: ignore[no-any-return]


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_graph_that_is_not_the_module_is_refused(scale: float) -> None:
    with pytest.raises(UnsupportedLayerError, match="Moody"):
        export_network(Moody(scale), PREPROCESS, random_pictures((1, 4, 4), 4, 0), "small")


def test_the_artifact_states_what_fixed_point_cost(tmp_path: Path) -> None:
    network, shape = random_network(2)
    artifact, module = random_artifact(network, shape, 2, "stated"), randomise(network, shape, 2)
    accuracy = artifact.public.accuracy
    assert accuracy is not None
    pictures = random_pictures(shape, 16, 4)
    with torch.no_grad():
        exact = module(torch.from_numpy(pictures)).numpy()
    found = fixed_logits(artifact, pictures)[1]
    assert accuracy.pictures == 16
    nearest = np.abs(found - exact).max() / np.sqrt(exact.var(axis=1).mean())
    assert accuracy.error == pytest.approx(nearest, rel=0.5)  # what no gate rounds is rounded by coins
    assert accuracy.agreement == pytest.approx((found.argmax(1) == exact.argmax(1)).mean(), abs=0.1)
    save(artifact, tmp_path / "model")
    assert load(tmp_path / "model").public.accuracy == accuracy


def test_a_network_at_chance_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    network = small()
    with torch.no_grad():
        network[3].bias[1] = 100.0  # type: ignore[index]
    export_network(network, PREPROCESS, random_pictures((1, 4, 4), 16, 0), "untrained")
    assert "all 16 calibration pictures get label 1" in caplog.text
