"""Tiny-ImageNet-200 as it is distributed, in miniature: three classes of four pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from pi_system.cli.train import main
from pi_system.errors import ConfigError, InputError
from pi_system.train.data import DataConfig, load_data, source
from pi_system.train.data.folder import read_folder
from pi_system.train.data.tiny_imagenet import TINY_IMAGENET

SMALL = replace(TINY_IMAGENET, classes=3, train_pictures=4, test_pictures=6)
IDS = ("n03", "n01", "n02")  # the order of wnids.txt is not the order of labels


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root, rng = tmp_path / "tiny-imagenet-200", np.random.default_rng(0)

    def picture(path: Path, mode: str = "RGB") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).convert(mode).save(path)

    for name in IDS:
        for index in range(4):
            picture(root / "train" / name / "images" / f"{name}_{index}.JPEG", "L" if index == 3 else "RGB")
        (root / "train" / name / f"{name}_boxes.txt").write_text(f"{name}_0.JPEG\t0\t10\t63\t58\n")
    for index in range(6):
        picture(root / "val" / "images" / f"val_{index}.JPEG")
        picture(root / "test" / "images" / f"test_{index}.JPEG")
    rows = [f"val_{index}.JPEG\t{IDS[index % 3]}\t0\t32\t44\t62\n" for index in range(6)]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    (root / "wnids.txt").write_text("\n".join(IDS) + "\n")
    (root / "words.txt").write_text(f"n01\tgoldfish, Carassius auratus\nn02\t{'a, ' * 60}\nn77\tcat\n")
    return root


def test_official_sizes() -> None:
    assert TINY_IMAGENET.classes * TINY_IMAGENET.train_pictures == 100_000
    assert (TINY_IMAGENET.test_pictures, TINY_IMAGENET.side) == (10_000, 64)


def test_pictures_and_labels_are_those_of_the_tree(tree: Path) -> None:
    pool, test, names = SMALL.read(tree.parent)
    assert pool.images.shape == (12, 64, 64, 3)
    assert pool.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert test.labels.tolist() == [2, 0, 1, 2, 0, 1]
    with Image.open(tree / "val" / "images" / "val_4.JPEG") as image:
        assert np.array_equal(test.images[4].numpy(), np.asarray(image.convert("RGB")))
    assert names[0] == "goldfish, Carassius auratus"
    assert len(names[1]) == 128  # the longest that an artifact takes
    assert names[2] == "n03"
    direct, _, _ = SMALL.read(tree)
    assert torch.equal(direct.images, pool.images)


def test_a_folder_tree_is_read_alike(tree: Path) -> None:
    (pool, test, names), (other_pool, other_test, other_names) = SMALL.read(tree), read_folder(tree, 64)
    assert names == other_names
    for ours, theirs in ((pool, other_pool), (test, other_test)):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)


def test_it_is_named_and_trained_on_as_others(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "TINY_IMAGENET", SMALL)
    data = load_data(DataConfig.parse(f"tinyimagenet:{tree.parent}"))
    assert data.context == {"classes": 3, "size": 64, "channels": 3}
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 6)
    arguments = ["train", "--network", "resnet18:m=1", "--data", f"tinyimagenet:{tree}", "--epochs", "1", "--quiet"]
    done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "run"), "--json"])
    assert done.exit_code == 0, done.output
    assert '"network": "resnet18:m=1,classes=3,size=64"' in done.stdout


def _lost(root: Path) -> None:
    (root / "train" / "n02" / "images" / "n02_1.JPEG").unlink()


def _renamed(root: Path) -> None:
    (root / "train" / "n02").rename(root / "train" / "n09")


def _wide(root: Path) -> None:
    (root / "wnids.txt").write_text("n01\nn02\nn03\nn04\n")


def _cut(root: Path) -> None:
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t1\t1\n")


def _foreign(root: Path) -> None:
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn77\t0\t0\t1\t1\n")


def _damaged(root: Path) -> None:
    (root / "val" / "images" / "val_3.JPEG").write_bytes(b"\xff\xd8no picture")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_lost, r"n02: expected 4 pictures; found 3: is it unpacked completely\?"),
        (_renamed, r"n02: expected PNG or JPEG pictures of class n02; found none"),
        (_wide, r"wnids\.txt: expected 3 classes; found 4"),
        (_cut, r"val: expected 6 pictures; found 1"),
        (_foreign, "line 1: expected a file name and a class of train/"),
        (_damaged, r"val_3\.JPEG: expected a PNG or JPEG picture"),
        (lambda root: (root / "val" / "val_annotations.txt").unlink(), "found no such file"),
        (lambda root: (root / "wnids.txt").unlink(), r"with wnids\.txt; found none"),
    ],
)
def test_a_damaged_tree_is_refused(tree: Path, harm: Callable[[Path], None], message: str) -> None:
    harm(tree)
    with pytest.raises(InputError, match=message) as caught:
        SMALL.read(tree)
    assert "\n" not in str(caught.value)


def test_it_has_a_size_of_its_own() -> None:
    with pytest.raises(ConfigError, match="size is for folder only"):
        DataConfig(name="tinyimagenet", path="/nowhere", size=32)
    with pytest.raises(InputError, match="expected a folder that is or holds tiny-imagenet-200"):
        load_data(DataConfig(name="tinyimagenet", path="/nowhere"))
