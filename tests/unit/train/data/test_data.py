from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pi_system.errors import ConfigError, InputError
from pi_system.train import DataConfig, load_data
from pi_system.train.data import write_sample
from pi_system.train.data.augment import Augmentation, Normalisation, augment
from pi_system.train.data.cifar import CIFAR10, CIFAR100
from pi_system.train.data.dataset import split_by_class
from pi_system.train.data.folder import read_folder


def _keys(pictures: Any) -> Any:
    return {bytes(image.numpy().tobytes()) for image in pictures.images}


def test_digits_are_split_into_disjoint_parts_with_every_class() -> None:
    data = load_data(DataConfig(name="digits"))
    assert (len(data.train) + len(data.validation), len(data.test)) == (1438, 359)
    assert data.test.images.sum() == 1_793_232  # by scikit-learn's own load_digits
    assert data.context == {"classes": 10, "size": 8, "channels": 1}
    for part in (data.train, data.validation, data.test):
        assert set(part.labels.tolist()) == set(range(10))
    assert not _keys(data.train) & _keys(data.validation)
    assert not _keys(data.train) & _keys(data.test)


def test_split_seed_moves_the_validation_split_and_never_the_test() -> None:
    first, again, other = (load_data(DataConfig(name="digits", split_seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first.validation.images, again.validation.images)
    assert _keys(first.validation) != _keys(other.validation)
    assert torch.equal(first.test.images, other.test.images)


def test_statistics_are_those_of_the_training_pictures() -> None:
    data = load_data(DataConfig(name="digits"))
    pixels = data.train.images.double() / 255
    assert data.preprocess.mean[0] == pytest.approx(float(pixels.mean()), abs=1e-6)
    assert data.preprocess.std[0] == pytest.approx(float(pixels.std(unbiased=False)), abs=1e-6)
    x = Normalisation.of(data.preprocess, torch.device("cpu"))(data.train.images)
    assert x.shape == (len(data.train), 1, 8, 8)
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(x.std()) == pytest.approx(1, abs=1e-3)


def test_small_classes_keep_a_training_picture() -> None:
    rest, held_out = split_by_class(torch.tensor([0, 1, 1, 2, 2, 2, 2]), 0.5, 0)
    assert len(held_out) == 3
    assert 0 in rest.tolist()
    assert sorted(rest.tolist() + held_out.tolist()) == list(range(7))


def test_augmentation_is_a_shifted_and_mirrored_copy() -> None:
    images = torch.randint(1, 256, (64, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    how = Augmentation(pad=1, flip=True)
    first, again = (augment(images, how, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again)
    padded = torch.nn.functional.pad(images, (0, 0, 1, 1, 1, 1))
    mirrored, shifts = 0, []
    for k in range(64):
        crops = [padded[k, r : r + 6, c : c + 6] for r in range(3) for c in range(3)]
        crops += [crop.flip(1) for crop in crops]
        (found,) = [i for i, crop in enumerate(crops) if torch.equal(first[k], crop)]
        mirrored += found >= 9
        shifts.append(found % 9)
    assert 15 < mirrored < 49
    assert set(shifts) == set(range(9))  # 64 draws of nine; all are there but for one seed in 200
    assert torch.equal(augment(images, Augmentation(pad=0, flip=False), torch.Generator()), images)


def test_reflected_border_is_the_pictures_mirror_image() -> None:
    images = torch.randint(1, 256, (64, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    how = Augmentation(pad=4, flip=False).with_border("reflect")
    assert how.pad == 2
    found = augment(images, how, torch.Generator().manual_seed(7))
    padded = torch.nn.functional.pad(images.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect")
    padded = padded.permute(0, 2, 3, 1).to(torch.uint8)
    shifts = {
        [torch.equal(found[k], padded[k, r : r + 6, c : c + 6]) for r in range(5) for c in range(5)].index(True)
        for k in range(64)
    }
    assert len(shifts) > 15


def _write_cifar(root: Path, layout: Any) -> Any:
    """Write a set of the layout; return the training pixels (N, 32, 32, 3) and labels."""
    root.mkdir()
    rng = np.random.default_rng(0)
    pixels, labels = [], []
    for name, count in [(f, layout.train_records) for f in layout.train_files] + [
        (layout.test_file, layout.test_records)
    ]:
        fine = rng.permutation(count).astype(np.uint8)[:, None] % layout.classes
        planar = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        coarse = np.full((count, layout.label_bytes - 1), 99, np.uint8)
        np.concatenate([coarse, fine, planar], axis=1).tofile(root / name)
        pixels.append(planar.reshape(count, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(fine[:, 0])
    return np.concatenate(pixels[:-1]), np.concatenate(labels[:-1])


@pytest.mark.parametrize("layout", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def test_cifar_layouts(layout: Any, tmp_path: Path) -> None:
    small = replace(layout, train_records=200, test_records=100)
    pixels, labels = _write_cifar(tmp_path / layout.folder, small)
    (tmp_path / layout.folder / layout.names_file).write_text("\n".join(f"n{k}" for k in range(layout.classes)))
    pool, test, names = small.read(tmp_path)
    assert np.array_equal(pool.images.numpy(), pixels)
    assert np.array_equal(pool.labels.numpy(), labels)
    assert len(test) == 100
    assert names[3] == "n3"
    direct, _, _ = small.read(tmp_path / layout.folder)
    assert torch.equal(direct.images, pool.images)


def test_official_cifar_sizes() -> None:
    assert (CIFAR10.train_records * len(CIFAR10.train_files), CIFAR10.test_records) == (50_000, 10_000)
    assert (CIFAR100.train_records * len(CIFAR100.train_files), CIFAR100.test_records) == (50_000, 10_000)


def test_damaged_cifar_is_refused(tmp_path: Path) -> None:
    small = replace(CIFAR100, train_records=20, test_records=10)
    with pytest.raises(InputError, match="expected a folder that is or holds cifar-100-binary"):
        small.read(tmp_path / "nowhere")
    root = tmp_path / small.folder
    _write_cifar(root, small)
    data = (root / "train.bin").read_bytes()
    (root / "train.bin").write_bytes(data[:-3074])
    with pytest.raises(InputError, match=r"expected 61480 bytes \(20 records\); found 58406 bytes"):
        small.read(tmp_path)
    (root / "train.bin").write_bytes(b"\x00\xff" + data[2:])
    with pytest.raises(InputError, match="expected labels below 100; found 255"):
        small.read(tmp_path)
    (root / "train.bin").unlink()
    with pytest.raises(InputError, match="found no such file"):
        small.read(tmp_path)


def _picture(file: Any, level: Any, size: Any = (8, 8), mode: str = "RGB") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode != "RGB" else (level,) * 3).save(file)


def test_tiny_imagenet_tree(tmp_path: Path) -> None:
    for label, name in enumerate(["n01", "n02"]):
        for k in range(4):
            _picture(tmp_path / "train" / name / "images" / f"{name}_{k}.JPEG", 60 * label)
    for k in range(3):
        _picture(tmp_path / "val" / "images" / f"val_{k}.JPEG", 60)
    (tmp_path / "test" / "images").mkdir(parents=True)  # without labels, as distributed
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(f"val_{k}.JPEG\tn02\t0\t0\t1\t1\n" for k in range(3)))
    (tmp_path / "words.txt").write_text("n01\tgoldfish\nn99\tcat\n")
    data = load_data(DataConfig(name="folder", path=str(tmp_path), validation_fraction=0.25))
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 2, 3)
    assert data.test.labels.tolist() == [1, 1, 1]
    assert data.preprocess.classes == ("goldfish", "n02")
    assert data.train.images.shape == (6, 8, 8, 3)
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn77\n")
    with pytest.raises(InputError, match="line 1: expected a file name and a class"):
        read_folder(tmp_path, None)


def test_plain_class_folders_of_any_size_and_mode(tmp_path: Path) -> None:
    for name, mode in (("cat", "L"), ("dog", "RGBA")):
        for k in range(5):
            level = 200 if mode == "L" else (10, 20, 30, 255)
            _picture(tmp_path / name / f"{k}.png", level, size=(20, 12 + k), mode=mode)
    pool, test, classes = read_folder(tmp_path, 10)
    assert classes == ("cat", "dog")
    assert (len(pool), len(test)) == (8, 2)
    assert pool.images.shape[1:] == (10, 10, 3)
    assert pool.images[0, 0, 0].tolist() == [200, 200, 200]


def test_bad_trees_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder of class folders"):
        read_folder(tmp_path / "nowhere", None)
    _picture(tmp_path / "cat" / "a.png", 1)
    with pytest.raises(InputError, match="at least 2 class folders; found 1"):
        read_folder(tmp_path, None)
    (tmp_path / "dog").mkdir()
    with pytest.raises(InputError, match="pictures of class dog"):
        read_folder(tmp_path, None)
    (tmp_path / "dog" / "b.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"b\.png: expected a PNG or JPEG"):
        read_folder(tmp_path, None)


@pytest.mark.parametrize("text", ["mnist", "cifar10", "digits:/tmp", ""])
def test_bad_data_names_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="data"):
        DataConfig.parse(text)


def test_sample_is_the_stored_picture(tmp_path: Path) -> None:
    data = load_data(DataConfig(name="digits"))
    label = write_sample(data, 5, tmp_path / "five.png")
    with Image.open(tmp_path / "five.png") as image:
        assert np.array_equal(np.asarray(image), data.test.images[5, :, :, 0].numpy())
    assert label == str(int(data.test.labels[5]))
    with pytest.raises(ConfigError, match="from 0 to 358"):
        write_sample(data, 359, tmp_path / "none.png")


def test_pictures_for_tuning_are_set_aside_and_take_nothing_from_validation_or_test() -> None:
    plain = load_data(DataConfig(name="digits"))
    whole = load_data(DataConfig(name="digits", tuning_fraction=0.1))
    trial = load_data(DataConfig(name="digits", tuning_fraction=0.1, judged_on="tuning"))
    assert torch.equal(plain.validation.images, whole.validation.images)
    assert torch.equal(plain.test.images, whole.test.images)
    assert torch.equal(whole.train.images, trial.train.images)
    assert torch.equal(whole.validation.images, trial.validation.images)
    assert len(trial.test) == pytest.approx(0.1 * 1438, abs=5)
    assert len(whole.train) == len(plain.train) - len(trial.test)
    parts = [part for data in (whole, trial) for part in (data.train, data.validation, data.test)]
    seen = [{image.numpy().tobytes() for image in part.images} for part in parts]
    tuning = seen[5]
    for other in (seen[0], seen[1], seen[2]):
        assert not tuning & other


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tuning_fraction": 0.9}, "tuning fraction: expected from 0 to below 0.9; found 0.9"),
        ({"judged_on": "tuning"}, "judged on: expected test, or tuning with a tuning fraction; found 'tuning'"),
        ({"judged_on": "train"}, "judged on: expected test"),
    ],
)
def test_a_tuning_split_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(name="digits", **fields)


def test_a_run_without_tuning_pictures_records_what_it_always_did() -> None:
    assert DataConfig(name="digits").recorded() == {
        "name": "digits",
        "path": None,
        "size": None,
        "validation_fraction": 0.1,
        "split_seed": 0,
    }
    tuned = DataConfig(name="digits", tuning_fraction=0.1, judged_on="tuning")
    assert DataConfig(**tuned.recorded()) == tuned
