"""``pi-train export-torch`` and ``export-onnx`` as a user meets them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import pi_system as pi
from pi_system.cli.train import main

SOURCE = """
import torch
from torch import nn

def build(classes=2, width=2):
    torch.manual_seed(width)
    layers = nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(width, classes))

def fails():
    raise RuntimeError("no\\nweights")

sized = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
def smooth():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3))

ready = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
three = 3
"""


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a module, pictures, names and weights, which is the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("own")
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        (folder / "own_networks.py").write_text(SOURCE)
        (folder / "pictures" / "a").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for index in range(6):
            Image.fromarray(rng.integers(0, 256, (12, 14, 3), np.uint8)).save(
                folder / "pictures" / "a" / f"{index}.png"
            )
        (folder / "classes.txt").write_text("cat\ndog\nemu\n")
        (folder / "prep.json").write_text('{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "size": 9}')
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        save_file({f"module.{name}": value for name, value in network.state_dict().items()}, folder / "w.safetensors")
        np.save(folder / "rows.npy", rng.normal(size=(20, 4)))
        yield folder


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_factory_with_weights_and_pictures(place: Path) -> None:
    done = run(
        *("export-torch", "own_networks:build", "torch", "--set", "classes=3", "--set", "width=4"),
        *("--weights", "w.safetensors", "--calibration", "pictures", "--classes", "classes.txt"),
        *("--preprocess", "prep.json", "--json"),
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    model = pi.load(place / "torch")
    assert report["digest"] == model.digest
    assert (model.classes, model.relus) == (("cat", "dog", "emu"), 4 * 7 * 7)
    assert (model.preprocess.mean, model.preprocess.height) == ((0.5, 0.4, 0.3), 9)
    assert model.simulate(place / "pictures" / "a" / "0.png").label in model.classes


def test_a_network_of_rows_and_one_output(place: Path) -> None:
    done = run("export-torch", "own_networks:ready", "rows", "--calibration", "rows.npy", "--mean", 1, "--std", "2")
    assert done.exit_code == 0, done.output
    model = pi.load(place / "rows")
    assert model.classes == ("value",)
    assert len(model.simulate(place / "rows.npy")) == 20


def test_smooth_functions_need_the_flag_whose_error_is_printed_and_kept(place: Path) -> None:
    without = run("export-torch", "own_networks:smooth", "smooth", "--calibration", "rows.npy")
    assert without.exit_code == 21
    assert "gelu: expected --approximate" in without.stderr
    for name, given, allowed in (("smooth", [], 0.01), ("finer", ["0.002"], 0.002)):
        rest = ("--calibration", "rows.npy", "--json", "--approximate", *given)
        done = run("export-torch", "own_networks:smooth", name, *rest)
        assert done.exit_code == 0, done.output
        report = json.loads(done.stdout.splitlines()[-1])
        assert 0 < report["function_error"] <= allowed
        stated = pi.load(place / name).artifact.public.accuracy.approximation  # type: ignore[union-attr]
        assert stated is not None
        assert report["approximation_error"] == stated.error
        assert json.loads((place / name / "card.json").read_text())["replaced_functions"] == stated.functions == 1


def test_an_onnx_file(place: Path) -> None:
    kind = onnx.TensorProto.FLOAT
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", kind, ["n", 3, "h", "w"])],
        [onnx.helper.make_tensor_value_info("y", kind, ["n", "k"])],
    )
    onnx.save(onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)]), place / "flat.onnx")
    done = run("export-onnx", "flat.onnx", "flat", "--calibration", "pictures", "--size", "2x3")
    assert done.exit_code == 0, done.output
    assert len(pi.load(place / "flat").classes) == 18
    assert run("export-torch", "flat.onnx", "x", "--calibration", "pictures").output.count("export-onnx") == 1


OWN = ("export-torch", "own_networks:build", "x", "--calibration", "pictures")
WRONG: dict[str, tuple[tuple[Any, ...], int, str]] = {
    "no size": (OWN, 10, "size: expected"),
    "no module": (("export-torch", "nowhere:f", "x", "--calibration", "rows.npy"), 11, "No module named"),
    "no factory": (("export-torch", "own_networks:f", "x", "--calibration", "rows.npy"), 11, "no attribute 'f'"),
    "no colon": (("export-torch", "own_networks", "x", "--calibration", "rows.npy"), 11, "module:factory"),
    "not to be called": (("export-torch", "own_networks:three", "x", "--calibration", "rows.npy"), 11, "not callable"),
    "fails": (("export-torch", "own_networks:fails", "x", "--calibration", "rows.npy"), 11, "RuntimeError: no"),
    "arguments": ((*OWN, "--set", "colour=3"), 11, "colour"),
    "no arguments": ((*OWN, "--set", "colour"), 10, "KEY=VALUE"),
    "no weights": ((*OWN, "--weights", "missing.pt"), 11, "missing.pt"),
    "other weights": ((*OWN, "--weights", "w.safetensors"), 11, "another number of classes"),
    "classes": ((*OWN, "--size", "9", "--classes", "classes.txt"), 10, "classes: expected 2 names"),
    "no pictures": (("export-torch", "own_networks:build", "x", "--calibration", "nowhere"), 11, "nowhere"),
    "wrong inputs": (("export-torch", "own_networks:build", "x", "--calibration", "rows.npy"), 11, "takes inputs"),
    "channels": ((*OWN, "--size", "9", "--channels", "1"), 11, "layer 0: expected 3 channels, found 1"),
    "size": (
        ("export-torch", "own_networks:sized", "x", "--calibration", "pictures", "--size", "9"),
        11,
        "expected 48 features",
    ),
    "folder": (("export-torch", "own_networks:build", "pictures", "--calibration", "rows.npy"), 20, "not exist yet"),
    "bad size": ((*OWN, "--size", "0"), 2, "HEIGHTxWIDTH"),
    "bad mean": ((*OWN, "--mean", "red"), 2, "numbers with commas"),
    "mean": ((*OWN, "--size", "9", "--mean", "1,2"), 10, "mean, std"),
    "link": ((*OWN, "--size", "9", "--link", "string"), 10, "link: expected"),
    "no file": (("export-onnx", "missing.onnx", "x", "--calibration", "rows.npy"), 11, "missing.onnx"),
    "no onnx": (("export-onnx", "classes.txt", "x", "--calibration", "rows.npy"), 11, "classes.txt"),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_are_a_line_and_a_code(place: Path, what: str) -> None:
    arguments, code, hint = WRONG[what]
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert hint in done.output
    assert code == 2 or done.stderr.count("\n") == 1
    assert not (place / "x").exists()


def test_a_stopped_export_leaves_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pi_system.artifact.store.tensor_bytes", stopped)
    before = sorted(path.name for path in place.iterdir())
    done = run(*OWN, "--size", "9")
    assert done.exit_code == 130
    assert sorted(path.name for path in place.iterdir()) == before
