"""The tutorial of docs/reference/python-api.md, from a network to a service for others, runs as it stands."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ROOT

import pi_system as pi

DOC = (ROOT / "docs" / "reference" / "python-api.md").read_text()
SCRIPTS = dict(re.findall(r"```python\n# (\w+\.py), at [^\n]*\n(.*?)```", DOC, re.DOTALL))
MINE = """
import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3)).eval()
classes = ["ant", "bee", "cat"]
calibration, held_out = np.random.default_rng(0).random((2, 16, 1, 8, 8), np.float32)
"""


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"XDG_DATA_HOME": str(folder / "data"), "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@contextmanager
def serving(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """serve.py at work, and where."""
    command = [sys.executable, "serve.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("serving at "), process.communicate()[1]
            yield process, line.split()[-1]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("owner")
    (folder / "mine.py").write_text(MINE)
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text.replace("0.0.0.0:7100", "127.0.0.1:0"))
    return folder


def test_the_tutorial_has_three_programs() -> None:
    assert list(SCRIPTS) == ["prepare_model.py", "serve.py", "ask.py"]


def test_a_model_is_prepared_served_and_asked(owner: Path, tmp_path: Path) -> None:
    said = run(owner, "prepare_model.py")
    assert re.match(r"1[56] of 16 labels survive fixed point\n\d+ ms are to be expected over a wan\n", said)
    digest = said.split()[-1]
    model = pi.load(owner / "model")
    assert model.digest == digest

    shutil.copytree(owner / "keys" / "client", tmp_path / "client")  # what the other organisation gets
    (owner / "ask.py").rename(tmp_path / "ask.py")
    for name, pixels in zip("ab", np.random.default_rng(1).integers(0, 256, (2, 8, 8), np.uint8), strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    with serving(owner) as (process, address):
        said = run(tmp_path, "ask.py", address, digest[:16], "a.png", "b.png")
        labels = model.simulate([tmp_path / "a.png", tmp_path / "b.png"]).labels
        assert said.splitlines()[:3] == ["2 are prepared", f"a.png {labels[0]}", f"b.png {labels[1]}"]
        assert re.fullmatch(r"\d+ ms, [\d,]+ bytes", said.splitlines()[3])
        said = run(tmp_path, "ask.py", address, digest, "nowhere.png", code=1)
        assert said == "error 11: nowhere.png: expected a picture, found no such file\n"

        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0  # as Python ends when it is interrupted
    assert run(tmp_path, "ask.py", address, digest, "a.png", code=1).startswith("error 51: ")


def test_a_server_ends_with_the_process_that_started_it(owner: Path) -> None:
    if not (owner / "model").exists():
        run(owner, "prepare_model.py")
    with serving(owner) as (process, address):
        process.kill()  # which runs nothing of its own any more
        process.wait()
        keys, store = owner / "keys" / "client", owner / "asking"
        with pi.Client(address, keys=keys, store=store, connect_timeout_s=1.0) as client:
            for _ in range(60):
                try:
                    client.available()
                except pi.PiError:
                    break
                client._open.close()  # type: ignore[union-attr]
                time.sleep(0.1)
            else:
                pytest.fail("expected the server gone")
