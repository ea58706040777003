"""Counts of the named networks: design table, stem ReLU included, CIFAR input, 100 classes."""

from typing import Any

import pytest
import torch
from torch import nn

from pi_system.train import NetworkSpec, ReluMap, ResNet, build_network, count_network, named_relus

_TABLE = [
    ("resnet18", (64, 128, 256, 512), 557_056, 555.5, 11.21),
    ("resnet34", (64, 128, 256, 512), 966_656, 1159.4, 21.31),
    ("hrn-5x5x3x", (16, 80, 400, 1200), 343_040, 1053.4, 48.64),
    ("hrn-5x7x2x", (16, 80, 560, 1120), 378_880, 1270.3, 49.36),
    ("hrn-6x6x2x", (16, 96, 576, 1152), 401_408, 1365.8, 52.37),
    ("hrn-7x5x2x", (16, 112, 560, 1120), 411_648, 1325.6, 49.71),
    ("hrn-5x5x3x:m=8", (8, 40, 200, 600), 171_520, 263.5, 12.19),
    ("hrn-2x5x3x", (16, 32, 160, 480), 186_368, 177.7, 7.82),
    ("hrn-2x6x2x", (16, 32, 192, 384), 188_416, 161.4, 5.86),
    ("hrn34-4x6x3x", (16, 64, 384, 1152), 651_264, 2059.7, 79.39),
    ("hrn-5x5x3x:m=32", (32, 160, 800, 2400), 686_080, 4212.3, 194.3),
    ("hrn-2x7x2x", (16, 32, 224, 448), 200_704, 212.4, 7.94),
    ("wrn-22-8", (128, 256, 512), 1_359_872, None, None),
    ("vgg16", (64, 128, 256, 512, 512), 276_480, None, None),
    ("resnet50", (64, 128, 256, 512), 2_940_928, None, None),
]


def _count(name: str) -> Any:
    spec = NetworkSpec.parse(name)
    return count_network(build_network(spec, device="meta"), (spec.channels, spec.size, spec.size))


@pytest.mark.parametrize(("name", "widths", "relus", "mega_macs", "mega_parameters"), _TABLE)
def test_counts_match_the_table(
    name: str, widths: tuple[int, ...], relus: int, mega_macs: float | None, mega_parameters: float | None
) -> None:
    counts = _count(name)
    assert NetworkSpec.parse(name).widths == widths
    assert counts.relus == relus
    if mega_macs is not None:
        assert round(counts.macs / 1e6, 1) == mega_macs
        assert round(counts.parameters / 1e6, 2) == mega_parameters


def test_counts_of_other_families_by_their_definition() -> None:
    # VGG-16: width times pixels of each of its 13 convolutions.
    vgg = 2 * 64 * 32**2 + 2 * 128 * 16**2 + 3 * 256 * 8**2 + 3 * 512 * 4**2 + 3 * 512 * 2**2
    assert _count("vgg16").relus == vgg
    # ResNet50: two inner ReLUs (the first before the stride) and one on four times the width, in each block.
    fifty = 64 * 32**2
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True)):
        side = 32 >> stage
        first = side * 2 if stage else side
        fifty += width * first**2 + ((2 * blocks - 1) + 4 * blocks) * width * side**2
    assert _count("resnet50").relus == fifty


def test_shallow_blocks_lower_relus_layers_and_macs() -> None:
    whole, shallow = _count("resnet18"), _count("resnet18:depth=11-11-11-11")
    assert (whole.relu_layers, shallow.relu_layers) == (17, 9)
    assert shallow.relus == 65_536 + (557_056 - 65_536) // 2
    assert shallow.macs < 0.6 * whole.macs
    smaller = _count("resnet18:stride=2")
    assert 4 * smaller.relus == whole.relus


@pytest.mark.parametrize(("name", "relus", "mega_macs"), [(row[0], row[2], row[3]) for row in _TABLE])
def test_counts_on_tiny_imagenet(name: str, relus: int, mega_macs: float | None) -> None:
    """Pictures of 64 x 64 have four times the ReLUs and convolutions; the classifier grows with the classes alone."""
    tiny = name + ("," if ":" in name else ":") + "size=64,classes=200"
    spec, counts = NetworkSpec.parse(tiny), _count(tiny)
    assert (spec.size, spec.classes) == (64, 200)
    assert counts.relus == 4 * relus
    if mega_macs is not None:
        classifier = spec.widths[-1]
        assert counts.macs - 200 * classifier == 4 * (_count(name).macs - 100 * classifier)


def test_resnet18_on_tiny_imagenet() -> None:
    """SNL, DeepReDuce and their successors count 2,228,224 ReLUs, or 1,966,080 without the stem."""
    network = build_network(NetworkSpec.parse("resnet18:size=64,classes=200"), device="meta")
    stages = [0] * 5
    for name, relu in named_relus(network).items():
        stages[0 if name == "stem_relu" else relu.stage] += relu.active
    assert stages == [262_144, 1_048_576, 524_288, 262_144, 131_072]
    assert (sum(stages), sum(stages[1:])) == (2_228_224, 1_966_080)


def test_stage_counts_of_resnet18() -> None:
    network = build_network(NetworkSpec.parse("resnet18"), device="meta")
    stages = [0] * 5
    for name, relu in named_relus(network).items():
        stages[0 if name == "stem_relu" else relu.stage] += relu.active
    assert stages == [65_536, 262_144, 131_072, 65_536, 32_768]
    assert sum(stages[1:]) == 491_520  # papers that leave the stem out


def test_masks_lower_relus_and_layers_only() -> None:
    network = ResNet((4, 8), (1, 1), in_channels=1, classes=10, size=8)
    before = count_network(network, (1, 8, 8))
    full = ReluMap.of(network).masks
    ReluMap({**full, "stem_relu": torch.zeros_like(full["stem_relu"])}).apply(network)
    after = count_network(network, (1, 8, 8))
    assert before.relus - after.relus == 4 * 8 * 8
    assert (before.relu_layers, after.relu_layers) == (5, 4)
    assert (before.macs, before.parameters) == (after.macs, after.parameters)


def test_any_module_can_be_counted() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(8 * 4 * 4, 5))
    counts = count_network(network, (4, 6, 6))
    assert counts.macs == 8 * 4 * 4 * 2 * 9 + 8 * 4 * 4 * 5
    assert counts.parameters == sum(p.numel() for p in network.parameters())
    assert [layer.out_shape for layer in counts.layers] == [(8, 4, 4), (5,)]
    assert not torch.is_inference_mode_enabled()
