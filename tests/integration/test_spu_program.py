"""SPU's program of an artifact computes what the artifact does: every operation of the well-known networks.

Needs SPU's own environment (benchmarks/peers/spu/setup.sh): PI_SPU_PYTHON=SPU_VENV/bin/python.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from measuring.processes import Site
from measuring.sessions import Network
from peers.systems import spu_pairs
from torch import Tensor, nn

from pi_system.artifact.store import save
from pi_system.export.random import random_artifact
from pi_system.program.float_point import float_logits

PYTHON = os.environ.get("PI_SPU_PYTHON", "")


class Everything(nn.Module):
    """A padded max pool, depthwise and grouped convolutions, ReLU6, zeros beside, a concatenation, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 8, 3, 2, 1), nn.MaxPool2d(3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 3, 2, 1, groups=4)
        self.head = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))  # not behind a ReLU: padding must not win against negative values
        y = F.relu6(3 * self.depthwise(x))
        z = F.pad(torch.relu(self.grouped(y)), (1, 1, 2, 0))
        return self.head(torch.cat([y, z], 1).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.skipif(not PYTHON, reason="PI_SPU_PYTHON names no interpreter")
@pytest.mark.parametrize("protocol", ["SEMI2K", "CHEETAH"])
def test_spu_computes_what_the_artifact_does(protocol: str, tmp_path: Path) -> None:
    artifact = random_artifact(Everything(), (3, 16, 16), 1, "everything")
    assert {"affine", "avgpool2d", "concat", "gather", "maxpool2d"} <= {node.op for node in artifact.public.graph}
    save(artifact, tmp_path / "artifact")
    network = Network(tmp_path / "artifact", 2, tmp_path)
    with ExitStack() as stack:
        (pair,) = spu_pairs(stack, PYTHON, [protocol], network, Site(pinned=False))
        found = np.stack([pair.run(index).output for index in range(2)])
    expected = float_logits(artifact, network.pictures)
    assert np.abs(found - expected).max() <= 0.01 * expected.std()
