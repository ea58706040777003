"""Layers of a graph, and the declared cost of whole networks."""

import pytest

from pi_system.artifact.graph import Add, AvgPool2d, Conv2d, Flatten, Graph, Input, Linear, Relu
from pi_system.errors import ConfigError
from pi_system.protocols.linear_he import LinearShape, linear_he_cost, linear_shapes, plan_linear


def conv(name: str, source: str, shape: tuple[int, int, int], channels: int, size: int, stride: int = 1) -> Conv2d:
    return Conv2d(
        name=name,
        inputs=(source,),
        shape=shape,
        in_channels=channels,
        kernel=(size, size),
        stride=(stride, stride),
        padding=(size // 2, size // 2),
    )


def resnet18(width: int) -> Graph:
    """BasicBlock ResNet18 for 32 x 32 pictures, 100 classes."""
    nodes: list[object] = [Input(name="picture", inputs=(), shape=(3, 32, 32))]
    nodes += [conv("stem", "picture", (width, 32, 32), 3, 3)]
    nodes += [Relu(name="relu", inputs=("stem",), shape=(width, 32, 32), active=width * 1024)]
    value, channels, size = "relu", width, 32
    for stage in range(4):
        for block in range(2):
            name, stride, out = f"s{stage}b{block}", 2 if stage and not block else 1, width << stage
            size //= stride
            shape = (out, size, size)
            nodes.append(conv(f"{name}.conv1", value, shape, channels, 3, stride))
            nodes.append(Relu(name=f"{name}.relu1", inputs=(f"{name}.conv1",), shape=shape, active=out * size**2))
            nodes.append(conv(f"{name}.conv2", f"{name}.relu1", shape, out, 3))
            if stride == 2:
                nodes.append(conv(f"{name}.shortcut", value, shape, channels, 1, stride))
                value = f"{name}.shortcut"
            nodes.append(Add(name=f"{name}.add", inputs=(f"{name}.conv2", value), shape=shape))
            nodes.append(Relu(name=name, inputs=(f"{name}.add",), shape=shape, active=out * size**2))
            value, channels = name, out
    nodes.append(
        AvgPool2d(name="pool", inputs=(value,), shape=(channels, 1, 1), kernel=(4, 4), stride=(4, 4), padding=(0, 0))
    )
    nodes.append(Flatten(name="flat", inputs=("pool",), shape=(channels,)))
    nodes.append(Linear(name="fc", inputs=("flat",), shape=(100,), in_features=channels))
    return Graph.model_validate({"nodes": nodes})


def test_layers_of_a_graph() -> None:
    layers = linear_shapes(resnet18(4))
    assert len(layers) == 21
    assert layers[0] == LinearShape(
        name="stem", source="picture", in_channels=3, out_channels=4, in_size=(32, 32), kernel=(3, 3), padding=(1, 1)
    )
    assert layers[-1] == LinearShape(name="fc", source="flat", in_channels=32, out_channels=100)
    shortcuts = [layer for layer in layers if layer.name.endswith("shortcut")]
    assert next((la.source, la.in_size, la.out_size) for la in shortcuts) == ("s0b1", (32, 32), (16, 16))


@pytest.mark.parametrize(("width", "megabytes"), [(16, 13.4), (64, 51.5)])
def test_bytes_of_resnet18_are_below_those_of_cheetah(width: int, megabytes: float) -> None:
    """31 MB and 111 MB were measured for all of CHEETAH; its linear layers are a part of that."""
    plan = plan_linear(linear_shapes(resnet18(width)), 32, norm_bits=14)
    cost = linear_he_cost(plan)
    assert len(plan.packings) == 18  # each shortcut shares its input with a convolution
    assert (cost.up_bytes + cost.down_bytes) / 1e6 <= megabytes
    assert cost.setup_bytes < 60_000
    assert sum(layer.up_bytes for layer in cost.layers) == cost.up_bytes
    assert sum(layer.down_bytes for layer in cost.layers) == cost.down_bytes


def test_both_parties_plan_alike() -> None:
    layers = linear_shapes(resnet18(8))
    first, second = plan_linear(layers, 37, 13), plan_linear(layers, 37, 13)
    assert first.params == second.params
    assert linear_he_cost(first) == linear_he_cost(second)


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": 3},
        {"in_channels": 0},
        {"kernel": (3, 3), "in_size": (2, 2)},
        {"padding": (-1, 0)},
        {"stride": (0, 1)},
    ],
)
def test_impossible_layers_are_refused(wrong: dict[str, object]) -> None:
    shape: dict[str, object] = {"name": "a", "source": "x", "in_channels": 4, "out_channels": 4}
    with pytest.raises(ConfigError, match="layer a"):
        LinearShape(**(shape | wrong))  # type: ignore[arg-type]
