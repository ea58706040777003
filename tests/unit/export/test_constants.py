"""Networks whose outputs, or values on the way, are the same for every picture."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pi_system.artifact.preprocess import Preprocess
from pi_system.export.exporter import export_network
from pi_system.export.nearness import nearness
from pi_system.export.random import random_pictures
from pi_system.program.encoding import encode_input, logits_to_float, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.ring.prg import Prg

PICTURES = random_pictures((1, 6, 6), 16, 3)


def preprocess(outputs: int) -> Preprocess:
    classes = tuple(map(str, range(outputs)))
    return Preprocess(channels=1, height=6, width=6, mean=(0.5,), std=(0.25,), classes=classes)


class Level(nn.Module):
    """A constant, which two layers of different scales take."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level
        self.body, self.large = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 3, 1)
        self.head = nn.Linear(1, 3)
        with torch.no_grad():
            for layer, weight in ((self.body, 0.7), (self.large, 100.0), (self.head, 1.0)):
                layer.weight.copy_(weight * torch.linspace(-1, 1.3, layer.weight.numel()).reshape(layer.weight.shape))
                layer.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x.clamp(self.level, 20.0))
        return self.head(x.mean((2, 3))), self.large(x)


@pytest.mark.parametrize("level", [9.0, 9.3, 9.77])
def test_a_private_run_is_as_exact_as_stated(level: float) -> None:
    """The nearest integer may be exact for a constant; the coins of truncations without a gate are not."""
    artifact = export_network(Level(level).eval(), preprocess(111), PICTURES, "level")
    graph, ring = artifact.public.graph, artifact.public.ring
    integers = quantise_weights(graph, ring, artifact.weights)
    interpreter = FixedInterpreter(ring, artifact.masks, integers, coins=Prg(bytes(range(16))))
    logits = logits_to_float(interpreter.run(graph, encode_input(PICTURES, graph, ring)), graph, ring)
    with torch.no_grad():
        exact = [part.flatten(1).double().numpy() for part in Level(level)(torch.from_numpy(PICTURES))]
    found = nearness(logits, np.concatenate(exact, 1), [part.shape[1] for part in exact])
    assert artifact.public.accuracy is not None
    assert found.error <= 1.5 * artifact.public.accuracy.error + 1e-3


class Dead(nn.Module):
    """Two logits, and a value that is the same for every picture but for what float32 rounds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
        self.level, self.value = nn.Hardsigmoid(), nn.Linear(36, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(x), self.value((self.level(1e-5 * x) * 0.37).flatten(1))


def test_a_constant_output_is_exported_and_judged_by_its_size() -> None:
    with torch.no_grad():
        value = Dead()(torch.from_numpy(PICTURES))[1]
    assert 0 < value.std() < 1e-5 * value.abs().max()
    accuracy = export_network(Dead().eval(), preprocess(3), PICTURES, "dead").public.accuracy
    assert accuracy is not None
    assert 0 < accuracy.error <= 0.02


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_errors_of_constants_are_shares_of_their_size(size: float) -> None:
    exact = np.full((5, 1), size)
    assert nearness(exact * 1.25, exact, []).error == pytest.approx(0.25)
    assert nearness(exact * 0, exact * 0, []).error == 0
