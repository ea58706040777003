"""The network that comes with the package: its card, and a photo classified with it by real processes."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from processes import pi_client, pi_server

from pi_system.artifact.store import load
from pi_system.cli.train import main
from pi_system.demo.variants import NETWORKS
from pi_system.errors import ConfigError
from pi_system.inputs.picture import load_picture
from pi_system.networks import MeasuredCost, artifact_folder, builtin_names, read_card
from pi_system.program import relu_count
from pi_system.program.fixed_point import fixed_logits
from pi_system.train.run import _SCHEMA, RunDirectory


@pytest.fixture
def photo(tmp_path: Path) -> Any:
    """A landscape JPEG of 640 x 480 pixels."""
    rows, columns = np.mgrid[0:480, 0:640]
    pixels = np.stack([rows * 255 // 479, columns * 255 // 639, (rows + columns) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


@pytest.mark.parametrize("name", builtin_names())
def test_card_says_what_the_artifact_is(name: str) -> None:
    card, folder = read_card(name), artifact_folder(f"builtin:{name}")
    artifact = load(folder)
    assert card.name == name
    assert relu_count(artifact.public.graph) == card.relus < card.relus_before
    assert card.classes == len(artifact.public.preprocess.classes)
    assert not any(label.isdecimal() for label in artifact.public.preprocess.classes)
    assert card.fixed_point_pictures == 10_000
    assert abs(card.test_accuracy - card.fixed_point_accuracy) < 0.005
    assert card.private_pictures >= (200 if name == NETWORKS["half"] else 1000)
    assert card.private_agreement > 0.99
    alone = [cost for cost in card.costs if cost.backend in ("gmw", "gc", "table")]
    assert all(0 < cost.online_ms < cost.offline_ms for cost in alone)
    assert {cost.link for cost in alone} == {cost.link for cost in card.costs}
    assert card.licence
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8_000_000


def test_cards_are_shown_and_unknown_names_listed() -> None:
    shown = CliRunner().invoke(main, ["builtin"])
    assert shown.exit_code == 0
    assert "builtin:cifar10" in shown.output
    one = json.loads(CliRunner().invoke(main, ["builtin", "cifar10", "--json"]).output)
    assert one["artifact"] == str(artifact_folder("cifar10"))
    with pytest.raises(ConfigError, match="expected one of builtin:cifar10"):
        artifact_folder("../../etc")


@pytest.mark.parametrize("name", builtin_names())
def test_a_card_shows_its_recipe_from_the_first_training_and_its_costs(name: str, monkeypatch: Any) -> None:
    card = read_card(name)
    cost = MeasuredCost(
        backend="gmw", link="lan", online_ms=7, online_bytes=2, offline_ms=9, offline_bytes=4, setup_bytes=0, commit="c"
    )
    for costs, said in (((), "not measured"), ((cost,), "gmw over lan")):
        monkeypatch.setattr("pi_system.cli.builtin.read_card", lambda _, c=costs: card.model_copy(update={"costs": c}))
        shown = CliRunner().invoke(main, ["builtin", name])
        assert shown.exit_code == 0, shown.output
        assert said in shown.output
    first, last = (re.search(rf"^{step} +(.*)$", shown.output, re.M) for step in ("1 train", r"\d finetune"))
    assert first is not None
    assert last is not None
    assert "distill" in last[1]
    assert "schedule=onecycle" in first[1]  # all of them began so; a reduction's recipe is a cosine
    assert f"method=gradual budget={card.relus}" in shown.output


def test_the_recipe_of_a_run_reduced_twice_begins_with_its_training(tmp_path: Path) -> None:
    steps: Any = [{"train": {"epochs": 3}}]
    steps += [
        {"train": {"epochs": 2 - k}, "reduction": {"source": str(tmp_path / f"{k}"), "budget": 9 - k}} for k in (0, 1)
    ]
    for k, step in enumerate(steps):
        (tmp_path / f"{k}").mkdir()
        (tmp_path / f"{k}" / "config.json").write_text(json.dumps({"schema": _SCHEMA, **step}))
    done = {"reduction": {"budget": 9}, "finetune": {"epochs": 2}}
    recipe = {"train": {"epochs": 3}, "reduction": {"budget": 8}, "finetune": {"epochs": 1}}
    assert shipping().recipe_of(RunDirectory(tmp_path / "2")) == {**recipe, "earlier": [done]}
    assert shipping().recipe_of(RunDirectory(tmp_path / "1")) == {"train": {"epochs": 3}, **done}


def shipping() -> Any:
    path = Path(__file__).parents[2] / "scripts" / "ship_network.py"
    spec = importlib.util.spec_from_file_location("ship_network", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_photo_is_classified_without_any_training(photo: Any, tmp_path: Path) -> None:
    serving = pi_server("builtin:cifar10", tmp_path / "server", "--insecure", "--reveal", "scores")
    infer = ("infer", str(photo), "--insecure", "--json", "--store", str(tmp_path / "client"), "--backend")
    with serving as (_, address):
        done, baseline = (pi_client(tmp_path, *infer, backend, PI_SERVER=address) for backend in ("gmw", "crypten"))
    assert done.returncode == 0, done.stderr
    assert baseline.returncode == 10, baseline.stderr
    assert "expected one the server allows for this model (gmw, gc, table, fss), found 'crypten'" in baseline.stderr
    result = json.loads(done.stdout)
    (prediction,), step = result["predictions"], result["score_step"]
    artifact = load(artifact_folder("cifar10"))
    picture = load_picture(photo, artifact.public.preprocess)
    assert picture.shape == (3, 32, 32)
    _, expected = fixed_logits(artifact, picture[None])
    assert np.abs(np.array(prediction["logits"]) - expected[0]).max() < step / 2 + 0.1
    assert prediction["label"] == artifact.public.preprocess.classes[prediction["class"]]
