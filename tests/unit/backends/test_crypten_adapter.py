import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from pi_system.artifact.graph import Conv2d, Flatten, Graph, Input, Linear, Relu, Square
from pi_system.backends.crypten.party import CryptenClient, CryptenServer, correlation_plan
from pi_system.channel.memory import memory_pair
from pi_system.errors import (
    ConfigError,
    CorrelationExhaustedError,
    CorrelationReusedError,
    InputError,
    LocalProtocolError,
)


def network(active: int) -> Graph:
    """Convolution, ReLU on ``active`` of 32 positions, linear."""
    return Graph(
        nodes=(
            Input(name="x", inputs=(), shape=(1, 4, 4)),
            Conv2d(
                name="c", inputs=("x",), shape=(2, 4, 4), in_channels=1, kernel=(3, 3), stride=(1, 1), padding=(1, 1)
            ),
            Relu(name="r", inputs=("c",), shape=(2, 4, 4), active=active, masked=active < 32),
            Flatten(name="f", inputs=("r",), shape=(32,)),
            Linear(name="l", inputs=("f",), shape=(3,), in_features=32),
        )
    )  # fmt: skip


def mask(active: int) -> dict[str, Any]:
    return {"r": (np.arange(32) < active).reshape(2, 4, 4)}


WEIGHTS = {
    "c.weight": np.ones((2, 1, 3, 3), np.float32),
    "c.bias": np.zeros(2, np.float32),
    "l.weight": np.ones((3, 32), np.float32),
    "l.bias": np.zeros(3, np.float32),
}


@pytest.fixture
def client() -> Iterator[CryptenClient]:
    with closing(CryptenClient(network(32), {}, insecure_provider=True)) as runtime:
        yield runtime


def test_plan_is_nine_correlations_a_relu_and_one_a_layer() -> None:
    plan = correlation_plan(network(32), {})
    kinds = Counter(getattr(item, "op", item.kind) for item in plan.items)
    assert kinds == {"conv2d": 1, "matmul": 1, "binary": 7, "bit": 1, "mul": 1}
    assert plan.correction_bytes() == 8 * 32 + 120 * 32 + 8 * 3


def test_label_and_scores_take_comparisons_and_no_product() -> None:
    logits = correlation_plan(network(32), {})
    for reveal, comparisons, elements in (("label", 2, 3 + 3), ("scores", 1, 3)):
        plan = correlation_plan(network(32), {}, reveal)  # type: ignore[arg-type]
        added = Counter(item.kind for item in plan.items[len(logits.items) :])
        assert added == {"binary": 7 * comparisons, "bit": comparisons}
        assert plan.correction_bytes() - logits.correction_bytes() == 8 * 14 * elements


def test_scores_finer_than_the_encoding_are_refused() -> None:
    with pytest.raises(ConfigError, match="step above 2\\^-16"):
        CryptenClient(network(32), {}, reveal="scores", score_step_log2=-16)
    CryptenClient(network(32), {}, reveal="scores", score_step_log2=-15).close()


def test_a_square_is_one_correlation() -> None:
    nodes = [Square(name="r", inputs=("c",), shape=node.shape) if node.name == "r" else node for node in network(32)]
    plan = correlation_plan(Graph(nodes=tuple(nodes)), {})
    assert [getattr(item, "op", item.kind) for item in plan.items] == ["conv2d", "square", "matmul"]
    assert plan.correction_bytes() == 8 * 32 + 8 * 32 + 8 * 3


def test_inactive_positions_need_no_correlations() -> None:
    full, part = correlation_plan(network(32), {}), correlation_plan(network(5), mask(5))
    assert full.correction_bytes() - part.correction_bytes() == 120 * (32 - 5)


def test_the_plan_does_not_depend_on_which_positions_are_active() -> None:
    other = {"r": np.roll(mask(5)["r"].ravel(), 9).reshape(2, 4, 4)}
    assert correlation_plan(network(5), mask(5)) == correlation_plan(network(5), other)


def test_a_process_holds_one_runtime_at_a_time(client: CryptenClient) -> None:
    with pytest.raises(LocalProtocolError):
        CryptenServer(network(32), WEIGHTS, {})
    client.close()
    CryptenServer(network(32), WEIGHTS, {}).close()


def test_a_refused_runtime_leaves_the_process_free() -> None:
    with pytest.raises(KeyError):
        CryptenClient(network(5), {})
    CryptenClient(network(32), {}).close()


def test_unprepared_material_cannot_be_used(client: CryptenClient) -> None:
    near, _ = memory_pair()
    picture = np.zeros((1, 1, 4, 4), np.float32)
    assert client.available() == 0
    with pytest.raises(CorrelationExhaustedError):
        client.reserve(1)
    with pytest.raises((CorrelationReusedError, LocalProtocolError)):
        client.infer(picture, ("0",), near)
    assert near.counters.sent_bytes == 0


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 1, 4, 4), (1, 1, 4, 5)])
def test_pictures_of_another_shape_are_refused(client: CryptenClient, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        client.infer(np.zeros(shape, np.float32), ("0",), memory_pair()[0])


def test_pictures_must_be_finite(client: CryptenClient) -> None:
    with pytest.raises(InputError):
        client.infer(np.full((1, 1, 4, 4), np.nan, np.float32), ("0",), memory_pair()[0])


def test_the_package_does_not_import_crypten() -> None:
    program = "import sys, pi_system.backends; sys.exit(any(name in sys.modules for name in ('torch', 'crypten')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
