"""A network of squares through the programs: dealer, server and client as processes, every backend."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from measuring.networks import build_named
from PIL import Image
from processes import ALL_BACKENDS, ROOT, started

from pi_system.artifact import load, save
from pi_system.export.random import random_artifact
from pi_system.program.float_point import float_logits

NETWORK = "resnet18:m=2,classes=4,size=8,channels=1,depth=10-10-10-10/square"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The artifact and a picture."""
    path = tmp_path_factory.mktemp("squares")
    network, spec = build_named(NETWORK)
    save(random_artifact(network, (spec.channels, spec.size, spec.size), 1, NETWORK), path / "model")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)).save(path / "a.png")
    return path


@pytest.fixture(scope="module")
def addresses(folder, tls_dealer, link_keys):
    store = ("--artifact", f"{folder}/model", "--store", f"{folder}/server-store", "--dealer", tls_dealer)
    keys = ("--keys", f"{link_keys}/server", "--listen", "127.0.0.1:0", "--reveal", "logits", *ALL_BACKENDS)
    with started("-m", "pi_server.cli", "serve", *store, *keys) as (_, server):
        yield {"PI_SERVER": server, "PI_DEALER": tls_dealer, "PI_KEYS": f"{link_keys}/client"}


@pytest.mark.parametrize(("backend", "rounds"), [("fss", 6), ("gmw", 6), ("gc", 6), ("crypten", None)])
def test_logits_are_those_of_plaintext(folder, addresses, backend, rounds):
    done = subprocess.run(
        [sys.executable, "-m", "pi_client.cli", "infer", "a.png", "--json", "--store", backend, "--backend", backend],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | addresses,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
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
