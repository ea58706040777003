"""Files in torchvision's layout: their checksums, their names, what they give the networks, and what is refused."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import known_networks
import pytest
import torch
from click.testing import CliRunner
from measuring.cnns import CNNS
from measuring.known import Known
from measuring.published import PUBLISHED, WeightFile
from torchvision_layout import LAYOUTS, Weights

from pi_system.errors import InputError
from pi_system.export.checkpoint import load_checkpoint

SQUEEZENET = "squeezenet1_1"


@pytest.fixture(scope="module")
def tensors() -> dict[str, Weights]:
    """Random weights of each network."""
    found: dict[str, Weights] = {}
    torch.manual_seed(3)
    for name, layout in LAYOUTS.items():
        layout(found.setdefault(name, {}), torch.zeros(1, 3, 64, 64))
    return found


def write(folder: Path, network: str, content: Any, **options: Any) -> Path:
    """A file named as torchvision's are, with its own digits."""
    draft = folder / "draft"
    torch.save(content, draft, **options)
    digits = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    return draft.rename(folder / f"{network}-{digits}.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("network", CNNS)
def test_a_file_of_the_layout_gives_the_logits_that_its_tensors_give(
    network: str, zipped: bool, tensors: dict[str, Weights], tmp_path: Path
) -> None:
    path = write(tmp_path, network, tensors[network], _use_new_zipfile_serialization=zipped)
    known = Known(network, 64, tmp_path, WeightFile.check(path, network))
    pictures = torch.randn(2, 3, 64, 64)
    expected = LAYOUTS[network](tensors[network], pictures).double().numpy()
    assert known.logits(pictures.numpy()) == pytest.approx(expected, rel=1e-3, abs=1e-3 * expected.std())
    assert known.name == path.stem + "-64"


def test_a_product_s_loader_takes_densenets_old_names(tensors: dict[str, Weights], tmp_path: Path) -> None:
    module = CNNS["densenet121"]()
    load_checkpoint(module, write(tmp_path, "densenet121", tensors["densenet121"]))
    name = "features.denseblock2.denselayer3."
    assert (module.state_dict()[f"{name}norm1.weight"] == tensors["densenet121"][f"{name}norm.1.weight"]).all()


def test_what_is_published_is_said_so(tensors: dict[str, Weights], tmp_path: Path) -> None:
    assert {name.partition("-")[0] for name in PUBLISHED} == set(CNNS)
    path = write(tmp_path, SQUEEZENET, tensors[SQUEEZENET])
    about = WeightFile.check(path, SQUEEZENET).about()
    assert about["published"] is False
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "network", "message"),
    [
        ("squeezenet1_1.pth", SQUEEZENET, "expected a name such as resnet50-0676ba61.pth"),
        ("resnet50-0676ba61.pth", SQUEEZENET, "expected weights of squeezenet1_1, found those of resnet50"),
        ("squeezenet1_1-b8a52dc0.pth", SQUEEZENET, "expected a SHA-256 that begins with b8a52dc0, found "),
        ("squeezenet1_1-00000000.pth", SQUEEZENET, "expected a file, found No such file"),
    ],
)
def test_a_file_is_refused_before_it_is_unpickled(name: str, network: str, message: str, tmp_path: Path) -> None:
    if "00000000" not in name:
        (tmp_path / name).write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(InputError, match=message) as refused:
        WeightFile.check(tmp_path / name, network)
    assert "\n" not in str(refused.value)


def _without(weights: Weights, name: str) -> Weights:
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: _without(found, "features.0.bias"), "missing: features.0.bias"),
        (lambda found: {**found, "aux.weight": torch.zeros(1)}, "found 1 more: aux.weight"),
        (lambda found: {**found, "classifier.1.bias": torch.zeros(10)}, r"classifier.1.bias: expected .*\(1000,\)"),
        (lambda found: {**found, "hook": Path("code")}, "expected weights alone"),
    ],
)
def test_other_tensors_are_refused(change: Any, message: str, tensors: dict[str, Weights], tmp_path: Path) -> None:
    path = write(tmp_path, SQUEEZENET, change(tensors[SQUEEZENET]))
    with pytest.raises(InputError, match=message):
        WeightFile.check(path, SQUEEZENET).load(CNNS[SQUEEZENET]())


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / PUBLISHED[0]).write_bytes(b"cut off")
    options = ["--weights", str(tmp_path / PUBLISHED[0]), "--folder", str(tmp_path)]
    found = CliRunner().invoke(known_networks.main, ["export", "resnet50", *options])
    assert found.exit_code == InputError.exit_code
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
