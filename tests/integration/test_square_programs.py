"""A network of squares through the programs: dealer, server and client as processes, every backend."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring.networks import build_named
from PIL import Image
from processes import model_folder, pi_client

from pi_system.artifact import load
from pi_system.export.random import random_artifact
from pi_system.program.float_point import float_logits

NETWORK = "resnet18:m=2,classes=4,size=8,channels=1,depth=10-10-10-10/square"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    network, spec = build_named(NETWORK)
    artifact = random_artifact(network, (spec.channels, spec.size, spec.size), 1, NETWORK)
    return model_folder(tmp_path_factory.mktemp("squares"), artifact)


@pytest.mark.parametrize(("backend", "rounds"), [("fss", 6), ("gmw", 6), ("gc", 6), ("table", 6), ("crypten", None)])
def test_logits_are_those_of_plaintext(folder: Path, addresses: Any, backend: str, rounds: int | None) -> None:
    done = pi_client(folder, "infer", "a.png", "--json", "--store", backend, "--backend", backend, **addresses)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    artifact = load(folder / "model")
    preprocess = artifact.public.preprocess
    pixels = np.asarray(Image.open(folder / "a.png"), np.float32)[None, None] / 255
    expected = float_logits(artifact, ((pixels - preprocess.mean[0]) / preprocess.std[0]).astype(np.float32))
    assert np.abs(np.array(data["predictions"][0]["logits"]) - expected[0]).max() < 0.03
    assert data["relus"] == 0
    if rounds is not None:
        assert data["online_rounds"] == rounds  # one a square, and the result
