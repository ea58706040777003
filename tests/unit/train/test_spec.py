import pytest

from pi_system.errors import ConfigError
from pi_system.train import NetworkSpec, build_network, named_relus


@pytest.mark.parametrize(
    ("text", "canonical", "widths", "blocks"),
    [
        ("resnet18", "resnet18:m=64", (64, 128, 256, 512), (2, 2, 2, 2)),
        ("ResNet18:m=16", "resnet18:m=16", (16, 32, 64, 128), (2, 2, 2, 2)),
        ("resnet34:m=64", "resnet34:m=64", (64, 128, 256, 512), (3, 4, 6, 3)),
        ("HRN-5x7x2x", "hrn-5x7x2x:m=16", (16, 80, 560, 1120), (2, 2, 2, 2)),
        ("hrn34-4x6x3x:m=8", "hrn34-4x6x3x:m=8", (8, 32, 192, 576), (3, 4, 6, 3)),
        ("resnet50", "resnet50:m=64", (64, 128, 256, 512), (3, 4, 6, 3)),
        ("wrn-22-8", "wrn-22-8:m=16", (128, 256, 512), (3, 3, 3)),
        ("wrn-16-2:m=4", "wrn-16-2:m=4", (8, 16, 32), (2, 2, 2)),
        ("resnet32", "resnet32:m=16", (16, 32, 64), (5, 5, 5)),
        ("MiniONN:classes=10", "minionn:m=64,classes=10", (64, 64, 64), (2, 2, 3)),
        ("VGG16", "vgg16:m=64", (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)),
        ("resnet18:m=4,stride=2,depth=00-12-11-10", "resnet18:m=4,stride=2,depth=00-12-11-10", None, None),
        ("hrn-5x5x3x:m=4,depth=13-32-22-22", "hrn-5x5x3x:m=4,depth=13-32-22-22", None, None),
        ("resnet18:m=16,classes=10,size=8,channels=1", "resnet18:m=16,classes=10,size=8,channels=1", None, None),
        ("resnet18:m=8,activation=square", "resnet18:m=8,activation=square", None, None),
        ("resnet18:size=64,classes=200", "resnet18:m=64,classes=200,size=64", None, None),
    ],
)
def test_name_round_trips(
    text: str, canonical: str, widths: tuple[int, ...] | None, blocks: tuple[int, ...] | None
) -> None:
    spec = NetworkSpec.parse(text)
    assert str(spec) == canonical
    assert NetworkSpec.parse(canonical) == spec
    if widths is not None:
        assert (spec.widths, spec.blocks) == (widths, blocks)


@pytest.mark.parametrize("uniform", range(2, 8))
def test_families_of_base_and_stage_channels(uniform: int) -> None:
    """DeepReShape's families: counts by formula, on pictures of 32 x 32."""
    stage = NetworkSpec.parse(f"stagech-{uniform}")
    assert str(stage) == f"hrn-{uniform}x{uniform}x{uniform}x:m=16"
    per_m = 1024 * (1 + 4 + uniform + uniform**2 / 4 + uniform**3 / 16)
    assert sum(relu.size for relu in named_relus(build_network(stage, device="meta")).values()) == 16 * per_m
    base = NetworkSpec.parse(f"basech:m={8 * uniform}")
    assert str(base) == f"resnet18:m={8 * uniform}"
    relus = sum(relu.size for relu in named_relus(build_network(base, device="meta")).values())
    assert relus == 8 * uniform * 8704  # 557,056 for m = 64


def test_data_set_fills_what_the_name_leaves_out() -> None:
    spec = NetworkSpec.parse("resnet18:m=8,classes=10", classes=10, size=8, channels=1)
    assert (spec.classes, spec.size, spec.channels) == (10, 8, 1)


def test_name_and_data_set_must_agree() -> None:
    with pytest.raises(ConfigError, match="classes=100, but the data set has classes=10"):
        NetworkSpec.parse("resnet18:classes=100", classes=10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vgg99",
        "wrn-23-8",
        "wrn-4-1",
        "resnet18:depth=",
        "resnet18:activation=",
        "resnet18:activation=cube",
        "resnet18:depth=22-22-22",
        "resnet18:depth=22-22-22-222",
        "resnet18:depth=22-00-22-22",
        "resnet18:depth=22-24-22-22",
        "vgg16:depth=11-12-111-111-111",
        "minionn:depth=11-11-111",
        "resnet50:depth=222-2222-222222-222",
        "hrn-5x5x",
        "hrn-0x5x3x",
        "resnet18:m",
        "resnet18:m=0",
        "resnet18:m=-4",
        "resnet18:m=4,m=4",
        "resnet18:channels=2",
        "resnet18:m=1e3",
    ],
)
def test_bad_names_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="network"):
        NetworkSpec.parse(text)
