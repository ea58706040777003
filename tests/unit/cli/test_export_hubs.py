"""The examples of docs/reference/python-api.md for networks of timm and Hugging Face, word for word.

Small stand-ins take the place of these libraries: names of weights, files of a hub's folder and what a network returns
are theirs.
"""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import pi_system as pi
from pi_system.cli.train import main

DOC = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "python-api.md").read_text()
BLOCKS = re.findall(r"```console\n\$ cat mine\.py\n(.*?)\$ pi-train (.*?)\n```", DOC, re.DOTALL)
NAMES = ["ant", "bee", "cat", "dog", "emu", "fox", "gnu", "hen", "ibis", "jay"]

TIMM = """
from torch import nn

class ResNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1, self.bn1, self.act1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.global_pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, num_classes)

    def forward_features(self, x):
        return self.act1(self.bn1(self.conv1(x)))

    def forward(self, x):
        return self.fc(self.global_pool(self.forward_features(x)).flatten(1))

def create_model(name, num_classes):
    assert name == "resnet18"
    return ResNet(num_classes)
"""
TRANSFORMERS = """
import json
from collections import OrderedDict
from pathlib import Path
from torch import nn
from torch.utils._pytree import register_pytree_node

class ResNetConfig(dict):
    @classmethod
    def from_pretrained(cls, folder):
        return cls(json.loads((Path(folder) / "config.json").read_text()))

class ImageClassifierOutputWithNoAttention(OrderedDict):
    pass

register_pytree_node(
    ImageClassifierOutputWithNoAttention,
    lambda output: (list(output.values()), list(output)),
    lambda values, keys: ImageClassifierOutputWithNoAttention(zip(keys, values)),
)

class ResNetModel(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embedder = nn.ModuleDict({"convolution": nn.Conv2d(3, width, 3), "normalization": nn.BatchNorm2d(width)})
        self.pooler = nn.AdaptiveAvgPool2d((1, 1))

    def forward(self, pixel_values):
        features = self.embedder["normalization"](self.embedder["convolution"](pixel_values))
        return {"pooler_output": self.pooler(features.relu())}

class ResNetForImageClassification(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, classes = config["embedding_size"], len(config["id2label"])
        self.resnet, self.classifier = ResNetModel(width), nn.Sequential(nn.Flatten(), nn.Linear(width, classes))

    def forward(self, pixel_values, labels=None):
        logits = self.classifier(self.resnet(pixel_values)["pooler_output"])
        return ImageClassifierOutputWithNoAttention(loss=None, logits=logits, hidden_states=None)
"""


def _timm(folder: Path) -> dict[str, Any]:
    (folder / "timm.py").write_text(TIMM)
    sizes = {"input_size": [3, 12, 12], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
    config = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": sizes, "label_names": NAMES}
    (folder / "hub" / "config.json").write_text(json.dumps(config))
    return {"module": "timm", "make": lambda found: found.create_model("resnet18", 10)}


def _transformers(folder: Path) -> dict[str, Any]:
    (folder / "transformers.py").write_text(TRANSFORMERS)
    config = {"architectures": ["ResNet"], "embedding_size": 4, "id2label": dict(enumerate(NAMES))}
    (folder / "hub" / "config.json").write_text(json.dumps(config))
    sizes = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "size": {"shortest_edge": 12}}
    (folder / "hub" / "preprocessor_config.json").write_text(json.dumps(sizes))
    return {
        "module": "transformers",
        "make": lambda found: found.ResNetForImageClassification(found.ResNetConfig.from_pretrained(folder / "hub")),
    }


def test_there_is_an_example_of_each() -> None:
    assert [re.findall(r"(?:import|from) (\w+)", code)[0] for code, _ in BLOCKS] == ["timm", "transformers"]


@pytest.mark.parametrize("number", [0, 1], ids=["timm", "transformers"])
def test_an_example_runs_as_it_is_written(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    code, command = BLOCKS[number]
    (tmp_path / "hub").mkdir()
    (tmp_path / "pictures").mkdir()
    hub = (_timm, _transformers)[number](tmp_path)
    (tmp_path / "mine.py").write_text(code)
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 12, 16, 3), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mine", hub["module"]):
        monkeypatch.delitem(sys.modules, name, raising=False)
    torch.manual_seed(0)
    network: nn.Module = hub["make"](__import__(hub["module"]))
    save_file(network.state_dict(), tmp_path / "hub" / "model.safetensors", metadata={"format": "pt"})

    done = CliRunner().invoke(main, [argument for argument in shlex.split(command)])
    assert done.exit_code == 0, done.output
    model = pi.load(tmp_path / "model")
    assert model.classes == tuple(NAMES)
    assert (model.preprocess.height, model.preprocess.mean) == (12, (0.5, 0.4, 0.3))
    inputs = torch.from_numpy(np.random.default_rng(1).random((4, 3, 12, 12), np.float32))
    with torch.no_grad():
        found: Any = network.eval()(inputs)
    expected = found if isinstance(found, torch.Tensor) else found["logits"]
    assert np.abs(model.plaintext(inputs).outputs - expected.numpy()).max() < 0.02
    for name in ("mine", hub["module"]):
        monkeypatch.delitem(sys.modules, name, raising=False)
