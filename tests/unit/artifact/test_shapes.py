from typing import Any

import pytest
from tiny_artifact import GRAPH

from pi_system.artifact.graph import Add, AvgPool2d, Concat, Conv2d, Graph, Input, Relu
from pi_system.artifact.shapes import check_graph, infer_shape, weight_shapes
from pi_system.errors import ArtifactError


def conv(**changes: Any) -> Conv2d:
    values: dict[str, Any] = {
        "name": "conv",
        "inputs": ("input",),
        "shape": (4, 4, 3),
        "in_channels": 2,
        "kernel": (3, 3),
        "stride": (2, 2),
        "padding": (1, 1),
    }
    return Conv2d(**(values | changes))


def test_shapes_of_windows_with_stride_and_padding() -> None:
    assert infer_shape(conv(), [(2, 7, 6)]) == (4, 4, 3)
    pool = AvgPool2d(name="p", inputs=("x",), shape=(1,), kernel=(3, 2), stride=(2, 1), padding=(1, 0))
    assert infer_shape(pool, [(2, 7, 6)]) == (2, 4, 5)


def test_shapes_of_add_and_concat() -> None:
    add = Add(name="a", inputs=("x", "y"), shape=(1,))
    assert infer_shape(add, [(2, 3, 3), (2, 3, 3)]) == (2, 3, 3)
    with pytest.raises(ArtifactError, match="node a"):
        infer_shape(add, [(2, 3, 3), (1, 3, 3)])
    concat = Concat(name="c", inputs=("x", "y"), shape=(1,))
    assert infer_shape(concat, [(2, 3, 3), (5, 3, 3)]) == (7, 3, 3)
    with pytest.raises(ArtifactError, match="node c"):
        infer_shape(concat, [(2, 3, 3), (5, 3, 4)])


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (4, 4, 4)},
        {"in_channels": 3},
        {"groups": 3},
        {"stride": (0, 1)},
        {"kernel": (0, 1)},
        {"kernel": (20, 20)},
        {"shape": (1 << 24, 4, 3)},
        {"kernel": (4096, 4096), "padding": (4096, 4096), "stride": (4000, 4000), "shape": (4, 2, 2)},
    ],
)
def test_convolution_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    start = Input(name="input", inputs=(), shape=(2, 7, 6))
    check_graph(Graph(nodes=(start, conv())))
    with pytest.raises(ArtifactError):
        check_graph(Graph(nodes=(start, conv(**changes))))


def test_relu_counts_are_checked() -> None:
    start = Input(name="input", inputs=(), shape=(2, 2, 2))
    for active, masked in ((9, True), (7, False)):
        relu = Relu(name="r", inputs=("input",), shape=(2, 2, 2), active=active, masked=masked)
        with pytest.raises(ArtifactError, match="active"):
            check_graph(Graph(nodes=(start, relu)))


def test_hostile_weight_and_node_counts_are_refused() -> None:
    start = Input(name="input", inputs=(), shape=(1 << 23, 1, 1))
    wide = conv(in_channels=1 << 23, shape=(64, 1, 1), kernel=(1, 1), stride=(1, 1), padding=(0, 0))
    with pytest.raises(ArtifactError, match="weights"):
        check_graph(Graph(nodes=(start, wide)))
    with pytest.raises(ValueError, match="4096"):
        Graph(nodes=(start,) * 5000)


def test_weight_shapes_name_every_tensor() -> None:
    assert weight_shapes(GRAPH) == {
        "conv.weight": (2, 1, 3, 3),
        "conv.bias": (2,),
        "fc.weight": (2, 8),
        "fc.bias": (2,),
    }
