"""What suffixes of benchmark network names do to their ReLUs, and what is exported."""

from pathlib import Path

import numpy as np
import pytest
import torch
from measuring.networks import build_named, cached_artifact, counts

from pi_system.artifact.store import load
from pi_system.errors import ConfigError
from pi_system.export.random import random_pictures
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.train.relu import named_relus

NETWORK = "resnet18:m=2,classes=10,size=8"
SIZES = [128] * 5 + [64] * 4 + [32] * 4 + [16] * 4


def active(name: str) -> list[int]:
    network, _ = build_named(name)
    return [relu.active for relu in named_relus(network).values()]


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", SIZES),
        ("/keep=24", [0] * 5 + [64] * 4 + [0] * 4 + [16] * 4),
        ("/keep=2thin", [0] * 5 + [0, 64, 0, 64] + [0] * 8),
        ("/layers=0,16", [128] + [0] * 15 + [16]),
    ],
)
def test_stages_and_layers_are_kept_whole(suffix: str, expected: list[int]) -> None:
    assert active(NETWORK + suffix) == expected


def test_a_count_is_drawn_over_all_layers_within_stages_and_what_is_left() -> None:
    found = active(f"{NETWORK}/relus=400")
    assert sum(found) == 400
    assert all(0 < count < size for count, size in zip(found[:9], SIZES, strict=False))
    assert sum(active(f"{NETWORK}/relus=100:34")[9:]) == 100
    found = active(f"{NETWORK}/keep=3thin/relus=60")
    assert sum(found) == 60
    assert [count > 0 for count in found[9:13]] == [False, True, False, True]


def test_a_name_always_draws_the_same() -> None:
    first, second = (build_named(f"{NETWORK}/relus=50:1")[0] for _ in range(2))
    for mine, other in zip(named_relus(first).values(), named_relus(second).values(), strict=True):
        assert torch.equal(mine.mask, other.mask)


@pytest.mark.parametrize("wrong", "tin=3 keep=7 keep= layers=17 layers= layers=1;2 relus=0 relus= relus=9:8".split())
def test_a_wrong_suffix_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="network: expected"):
        build_named(f"{NETWORK}/{wrong}")


@pytest.mark.parametrize("wrong", ["square=1", "square/keep=34", "square/square", "relus=9/square"])
def test_squares_come_last_and_take_whole_layers(wrong: str) -> None:
    with pytest.raises(ConfigError, match="square"):
        build_named(f"{NETWORK}/{wrong}")


def test_more_relus_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 64 ReLUs"):
        build_named(f"{NETWORK}/keep=4/relus=65")


def test_an_artifact_is_made_once(tmp_path: Path) -> None:
    name = f"{NETWORK}/relus=60:4"
    folder = cached_artifact(name, tmp_path)
    made = (folder / "weights.safetensors").stat().st_mtime_ns
    assert cached_artifact(name, tmp_path) == folder
    assert (folder / "weights.safetensors").stat().st_mtime_ns == made
    found = counts(load(folder))
    assert (found.network, found.relus, found.relu_layers) == (name, 60, 4)


def test_every_relu_becomes_a_square_and_nothing_else_changes(tmp_path: Path) -> None:
    artifact, relus = (load(cached_artifact(NETWORK + suffix, tmp_path)) for suffix in ("/square", ""))
    found, before = counts(artifact), counts(relus)
    assert (found.relus, found.squares, found.square_layers) == (0, before.relus, before.relu_layers)
    assert found.macs == before.macs
    pictures = random_pictures((3, 8, 8), 4, 5)
    expected = float_logits(artifact, pictures)
    assert np.abs(fixed_logits(artifact, pictures, check_range=True)[1] - expected).max() < 0.03
    assert np.ptp(expected) > 0.1


def test_squares_take_what_other_suffixes_leave() -> None:
    network, _ = build_named(f"{NETWORK}/keep=34thin/square")
    kinds = [type(module).__name__ for module in network.modules()]
    assert kinds.count("Square") == 4
    assert kinds.count("MaskedReLU") == 17 - 4
