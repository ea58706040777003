"""Weights, names and preprocessing in the forms that training loops and hubs write."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pi_system.errors import InputError
from pi_system.export.checkpoint import load_checkpoint
from pi_system.export.described import Described, read_classes, read_preprocessing


class Backbone(nn.Module):
    """A network inside of a module, as wrappers have it."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.head = nn.Linear(8, classes)


def weights(seed: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: tensor.contiguous() for name, tensor in Backbone().state_dict().items()}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in weights().items()}


def shards(folder: Path) -> None:
    folder.mkdir()
    names = list(weights())
    for index, part in enumerate((names[:3], names[3:])):
        save_file({f"backbone.{name}": weights()[name] for name in part}, folder / f"model-{index}.safetensors")


def hub(folder: Path) -> None:
    """As Hugging Face has it: the weights, and the same in another precision."""
    folder.mkdir()
    save_file(prefixed("resnet."), folder / "model.safetensors", metadata={"format": "pt"})
    save_file({name: tensor.half() * 0 for name, tensor in weights().items()}, folder / "model.fp16.safetensors")
    (folder / "config.json").write_text("{}")


def old_hub(folder: Path) -> None:
    """Before safetensors, with the arguments of a training, which are code."""
    folder.mkdir()
    torch.save(weights(), folder / "pytorch_model.bin")
    torch.save(Code(), folder / "training_args.bin")


FILES: dict[str, Any] = {
    "plain.safetensors": lambda path: save_file(weights(), path),
    "compiled.safetensors": lambda path: save_file(prefixed("_orig_mod."), path),
    "parallel.pt": lambda path: torch.save(OrderedDict(prefixed("module.model.")), path),
    "loop.pth": lambda path: torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": prefixed("net.")}, path),
    "unknown entry.pt": lambda path: torch.save({"epoch": 3, "model_state": prefixed("net."), "lr": {"a": 1}}, path),
    "nested.bin": lambda path: torch.save({"model": {"state_dict": weights()}}, path),
    "with more.pt": lambda path: torch.save(prefixed("encoder.") | {"projection.weight": torch.ones(3)}, path),
    "old.pt": lambda path: torch.save({k: v for k, v in weights().items() if "num_batches" not in k}, path),
    "half.safetensors": lambda path: save_file({k: v.half() for k, v in weights().items()}, path),
    "double.pt": lambda path: torch.save({k: v.double() for k, v in weights().items()}, path),
    "brain.safetensors": lambda path: save_file({k: v.bfloat16() for k, v in weights().items()}, path),
    "named as settings.pt": lambda path: torch.save({"model": {"width": 2}, "weights": weights()}, path),
    "averaged.pt": lambda path: torch.save({"state_dict": weights(), "ema_state_dict": prefixed("module.")}, path),
    "shards": shards,
    "hub": hub,
    "old hub": old_hub,
}


@pytest.mark.parametrize("name", FILES)
def test_weights_find_their_places(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    network = Backbone()
    load_checkpoint(network, tmp_path / name)
    for key, expected in weights().items():
        assert torch.allclose(network.state_dict()[key].float(), expected.float(), atol=1e-2), key


def test_a_network_may_have_a_prefix_more(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "w.safetensors")
    wrapped = nn.ModuleDict({"inner": Backbone()})
    load_checkpoint(wrapped, tmp_path / "w.safetensors")
    assert torch.equal(wrapped.state_dict()["inner.head.weight"], weights()["head.weight"])


class Code:
    """Runs when a pickle of it is read."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("run"),))


def recursive() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


BAD: dict[str, tuple[Any, str]] = {
    "empty.pt": (lambda path: path.touch(), "weights alone"),
    "text.safetensors": (lambda path: path.write_text("no"), "safetensors file"),
    "module.pt": (
        lambda path: torch.save(Backbone(), path),
        "weights alone.*found other Python objects, or no such file$",
    ),
    "code.pt": (lambda path: torch.save({"state_dict": Code()}, path), "weights alone"),
    "in itself.pt": (lambda path: torch.save(recursive(), path), "weights alone"),
    "list.pt": (lambda path: torch.save([1, 2], path), "weights by name"),
    "other.pt": (lambda path: torch.save({"a.weight": torch.ones(2)}, path), "missing: stem.0.weight"),
    "part.pt": (lambda path: torch.save({"head.bias": torch.ones(2)}, path), "found 1 of them"),
    "classes.pt": (lambda path: torch.save(Backbone(9).state_dict(), path), "another number of classes"),
    "complex.pt": (lambda path: torch.save({**Backbone().state_dict(), "head.bias": torch.ones(2) * 1j}, path), "real"),
    "folder": (lambda path: path.mkdir(), "found none"),
    "missing.pt": (lambda path: None, "found none"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_holds_no_weights_of_it(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    BAD[name][0](tmp_path / name)
    with pytest.raises(InputError, match=BAD[name][1]) as caught:
        load_checkpoint(Backbone(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


CLASSES: dict[str, str] = {
    "lines.txt": "cat\n\n dog \n",
    "list.json": '["cat", "dog"]',
    "numbers.json": '{"1": "dog", "0": "cat"}',
    "config.json": json.dumps({"architectures": ["ResNet"], "id2label": {"0": "cat", "1": "dog"}}),
    "timm.json": json.dumps({"architecture": "resnet18", "num_classes": 2, "label_names": ["cat", "dog"]}),
}


@pytest.mark.parametrize("name", CLASSES)
def test_forms_of_classes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(CLASSES[name])
    assert read_classes(tmp_path / name) == ("cat", "dog")


@pytest.mark.parametrize("content", ["", "3", "{}", "[1]", '{"0": "a", "2": "b"}', '{"id2label": 7}', "[" * 9999])
def test_what_names_no_classes(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(InputError):
        read_classes(tmp_path / "c.json")


PREPROCESSING: dict[str, dict[str, Any]] = {
    "own": {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3], "size": [24, 32]},
    "Hugging Face": {
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1, 2, 3],
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 24, "width": 32},
    },
    "timm": {"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3], "input_size": [3, 24, 32]}},
}


@pytest.mark.parametrize("name", PREPROCESSING)
def test_forms_of_preprocessing(tmp_path: Path, name: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps(PREPROCESSING[name]))
    expected = Described(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0), size=(24, 32))
    assert read_preprocessing(tmp_path / "p.json") == expected


def test_what_is_not_stated_stays_open(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"size": {"shortest_edge": 8}, "mean": 0.5}')
    assert read_preprocessing(tmp_path / "p.json") == Described(mean=(0.5,), size=(8, 8))
    for content in ("[]", '{"size": {}}', '{"size": "big"}', '{"mean": ["x"]}', "{"):
        (tmp_path / "p.json").write_text(content)
        with pytest.raises(InputError):
            read_preprocessing(tmp_path / "p.json")
    with pytest.raises(InputError):
        read_preprocessing(tmp_path / "missing.json")
