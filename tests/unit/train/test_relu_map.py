import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pi_system.errors import ConfigError, InputError
from pi_system.train import ReluMap, ResNet, named_relus


@pytest.fixture
def mixed(tiny: ResNet) -> ReluMap:
    generator = torch.Generator().manual_seed(0)
    pixels = {n: torch.rand(r.shape, generator=generator) < 0.5 for n, r in named_relus(tiny).items()}
    pixels["stem_relu"][:] = False
    return ReluMap(pixels)


def test_full_map_of_a_new_network(tiny: ResNet) -> None:
    full = ReluMap.of(tiny)
    assert full.count == full.size == 3 * 4 * 64 + 2 * 8 * 16
    assert list(full.counts) == list(named_relus(tiny))


def test_apply_changes_the_network_and_reads_back(tiny: ResNet, mixed: ReluMap) -> None:
    mixed.apply(tiny)
    assert ReluMap.of(tiny) == mixed
    assert {n: r.active for n, r in named_relus(tiny).items()} == mixed.counts


def test_file_round_trip_keeps_order(tiny: ResNet, mixed: ReluMap, tmp_path: Path) -> None:
    mixed.save(tmp_path / "map.safetensors")
    loaded = ReluMap.load(tmp_path / "map.safetensors")
    assert loaded == mixed
    assert list(loaded.masks) == list(named_relus(tiny))
    assert [p.name for p in tmp_path.iterdir()] == ["map.safetensors"]


def test_maps_of_other_networks_are_refused(tiny: ResNet, mixed: ReluMap) -> None:
    wider = ResNet((8, 8), (1, 1), in_channels=1, classes=10, size=8)
    deeper = ResNet((4, 8), (1, 2), in_channels=1, classes=10, size=8)
    with pytest.raises(ConfigError, match=r"layer stem_relu: expected \(8, 8, 8\); found \(4, 8, 8\)"):
        mixed.apply(wider)
    with pytest.raises(ConfigError, match=r"missing \['stages.1.1.relu1'"):
        mixed.apply(deeper)
    with pytest.raises(ConfigError, match="unknown"):
        ReluMap({**mixed.masks, "other": torch.ones(1, 1, 1, dtype=torch.bool)}).apply(tiny)
    with pytest.raises(ConfigError, match="expected bool"):
        ReluMap({"a": torch.ones(1, 2, 2)})


def test_damaged_files_are_refused(mixed: ReluMap, tmp_path: Path) -> None:
    file = tmp_path / "map.safetensors"
    with pytest.raises(InputError, match="expected a ReLU map"):
        ReluMap.load(file)
    mixed.save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(InputError, match="expected a ReLU map"):
        ReluMap.load(file)
    header = {"schema": 1, "count": 1, "layers": dict.fromkeys(mixed.masks, 1)}
    save_file(dict(mixed.masks), file, metadata={"relu_map": json.dumps(header)})
    with pytest.raises(InputError, match="with 1 ReLUs; found schema 1"):
        ReluMap.load(file)
