"""A network of gates, SiLU and Hardswish through the programs: logits are torch's within what the artifact states."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from processes import model_folder, pi_client
from torch import Tensor, nn

from pi_system.artifact import load
from pi_system.export.compile import compile_network
from pi_system.export.random import random_pictures

SHAPE = (1, 8, 8)
CALIBRATION = random_pictures(SHAPE, 32, 1)


class Gated(nn.Module):
    """Squeeze-and-excitation by a sigmoid between a SiLU and a Hardswish."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.second = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.gate, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(2 * self.first(x))
        x = x * torch.sigmoid(2 * self.gate(x.mean((2, 3))))[:, :, None, None]
        return torch.as_tensor(self.head(nn.functional.hardswish(4 * self.second(x)).mean((2, 3))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    artifact = compile_network(Gated(), CALIBRATION, approximate=0.02)
    return model_folder(tmp_path_factory.mktemp("smooth"), artifact)


@pytest.mark.parametrize("backend", ["fss", "gmw", "gc", "crypten"])
def test_private_logits_are_torchs_within_the_stated_bound(folder: Path, addresses: Any, backend: str) -> None:
    done = pi_client(folder, "infer", "a.png", "--json", "--store", backend, "--backend", backend, **addresses)
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads(done.stdout)["predictions"][0]["logits"])
    accuracy = load(folder / "model").public.accuracy
    assert accuracy is not None
    assert accuracy.approximation is not None
    pixels = np.asarray(Image.open(folder / "a.png"), np.float32)[None, None] / 255
    with torch.no_grad():
        exact = Gated()(torch.from_numpy(np.concatenate([pixels, CALIBRATION]))).double().numpy()
    spread = float(np.sqrt(exact[1:].var(axis=1).mean()))
    stated = accuracy.error + accuracy.approximation.error
    assert np.abs(found - exact[0]).max() <= (stated + 0.02) * spread
