"""The examples run: scripts as they are, notebooks cell by cell, each in a process and a data folder of its own."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlp_artifact import mlp_artifact
from PIL import Image
from processes import ROOT, pi_server

import pi_system as pi

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def cells(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((EXAMPLES / name).read_text())["cells"]
    return found


def run(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"XDG_DATA_HOME": str(folder / "data"), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(EXAMPLES), "TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=folder, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_two_notebooks_without_output() -> None:
    assert NOTEBOOKS == ["own_checkpoint.ipynb", "relu_costs.ipynb"]
    for name in NOTEBOOKS:
        assert all(not cell.get("outputs") for cell in cells(name))
        assert len({cell["id"] for cell in cells(name)}) == len(cells(name))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(tmp_path: Path, name: str) -> None:
    code = ["".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "code"]
    (tmp_path / "notebook.py").write_text("\n\n".join(code))
    said = run(tmp_path, "notebook.py")
    expected = {"own_checkpoint.ipynb": "4 inferences are prepared", "relu_costs.ipynb": "bytes a ReLU, online"}
    assert expected[name] in said


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    said = run(tmp_path, str(EXAMPLES / "private_digits.py")).splitlines()
    assert "ReLUs; in fixed point" in said[0]
    assert [line[:5] for line in said[1:4]] == ["0: a ", "1: a ", "2: a "]
    assert said[4].startswith("online ")


def test_many_questions_of_one_client(tmp_path: Path) -> None:
    pi.Model(mlp_artifact("relu")).save(tmp_path / "model")
    for name in "abc":
        Image.new("L", (8, 8), ord(name)).save(tmp_path / f"{name}.png")
    with pi_server(tmp_path / "model", tmp_path / "server", "--insecure") as (_, address):
        said = run(tmp_path, str(EXAMPLES / "many_questions.py"), address, "a.png", "b.png", "c.png")
    assert [line.split(":")[0] for line in said.splitlines()] == ["a.png", "b.png", "c.png"]


def test_every_script_says_how_it_is_run() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert f"examples/{path.name}" in (ast.get_docstring(ast.parse(path.read_text())) or ""), path
