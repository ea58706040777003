"""Layers of one kind of activation, of none and of a single position, with a dealer and without, against the oracle."""

from typing import Any

import numpy as np
import pytest
import torch
from changed_artifact import runnable
from oracle import assert_within_ulps
from parties import secure_logits
from torch import nn

from pi_system.export import random_artifact
from pi_system.export.random import random_pictures
from pi_system.program import relu_count, square_count
from pi_system.train.mixed import Kind, mix
from pi_system.train.relu import MaskedReLU


def _one_layer(kinds: Any) -> Any:
    """Convolution, one mixed layer of these kinds (4, 5, 5), convolution, linear."""
    relu = MaskedReLU((4, 5, 5), stage=1, block=0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), relu, nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(), nn.Linear(100, 3)
    )
    mix(network, "1").set_kinds(kinds)
    return random_artifact(network, (1, 5, 5), 1, "one layer")


def _kinds(name: Any) -> Any:
    kinds = torch.zeros((4, 5, 5), dtype=torch.uint8)
    if name.startswith("all"):
        kinds[:] = Kind[name.removeprefix("all ").upper()]
    elif name == "one square":
        kinds[2, 3, 1] = Kind.QUADRATIC
    elif name == "one position left":
        kinds[:] = Kind.ZERO
        kinds[1, 1, 1] = Kind.QUADRATIC
    return kinds


@pytest.mark.parametrize("backend", ["fss", "gmw"])  # without a dealer squares, and layers without a gate, are alike
@pytest.mark.parametrize(
    "name",
    ["all relu", "all quadratic", "all linear", "all zero", "none", "one square", "one position left"],
)
def test_degenerate_masks(name: Any, backend: Any, tmp_path: Any) -> None:
    artifact = runnable(backend, _one_layer(_kinds(name)))
    squares = {"all quadratic": 100, "one square": 1, "one position left": 1}.get(name, 0)
    assert square_count(artifact.public.graph) == squares
    assert relu_count(artifact.public.graph) == (100 if name == "all relu" else 0)
    pictures = random_pictures((1, 5, 5), 2 if backend == "fss" else 1, 1000)
    logits, _, _ = secure_logits(backend, artifact, pictures, tmp_path)
    assert np.abs(logits - assert_within_ulps(artifact, pictures, logits)).max() < 0.05
