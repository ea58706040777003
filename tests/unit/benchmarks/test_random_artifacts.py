from pathlib import Path

import pytest
import torch
from measuring.networks import build_named, cached_artifact, counts

from pi_system.artifact.store import load
from pi_system.errors import ConfigError
from pi_system.train.relu import named_relus

NETWORK = "resnet18:m=2,classes=10,size=8"
SIZES = [128] * 5 + [64] * 4 + [32] * 4 + [16] * 4


def active(name: str) -> list[int]:
    network, _ = build_named(name)
    return [relu.active for relu in named_relus(network).values()]


def test_all_relus_without_a_suffix() -> None:
    assert active(NETWORK) == SIZES


def test_stages_are_kept_whole_or_thin() -> None:
    assert active(f"{NETWORK}/keep=24") == [0] * 5 + [64] * 4 + [0] * 4 + [16] * 4
    assert active(f"{NETWORK}/keep=2thin") == [0] * 5 + [0, 64, 0, 64] + [0] * 8


def test_layers_are_kept_by_their_place() -> None:
    assert active(f"{NETWORK}/layers=0,16") == [128] + [0] * 15 + [16]


def test_a_count_is_drawn_over_all_layers() -> None:
    found = active(f"{NETWORK}/relus=400")
    assert sum(found) == 400
    assert all(0 < count < size for count, size in zip(found[:9], SIZES, strict=False))


def test_a_count_is_drawn_within_stages_and_what_is_left() -> None:
    assert sum(active(f"{NETWORK}/relus=100:34")[9:]) == 100
    found = active(f"{NETWORK}/keep=3thin/relus=60")
    assert sum(found) == 60
    assert [count > 0 for count in found[9:13]] == [False, True, False, True]


def test_a_name_always_draws_the_same() -> None:
    first, second = (build_named(f"{NETWORK}/relus=50:1")[0] for _ in range(2))
    for mine, other in zip(named_relus(first).values(), named_relus(second).values(), strict=True):
        assert torch.equal(mine.mask, other.mask)


@pytest.mark.parametrize(
    "suffix", ["tin=3", "keep=7", "keep=", "layers=17", "layers=", "layers=1;2", "relus=0", "relus=", "relus=9:8"]
)
def test_a_wrong_suffix_is_refused(suffix: str) -> None:
    with pytest.raises(ConfigError, match="network: expected"):
        build_named(f"{NETWORK}/{suffix}")


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
