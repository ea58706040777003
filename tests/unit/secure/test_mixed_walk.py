"""Which values of a mixed activation are fresh, so that weighted layers may read them."""

import numpy as np
import pytest

from pi_system.artifact.graph import Conv2d, Flatten, Graph, Input, Linear, Node, Select, Square, Truncate
from pi_system.artifact.ring_check import check_ring
from pi_system.artifact.ring_config import RingConfig
from pi_system.artifact.shapes import check_graph
from pi_system.secure.schedule import Remask, plan

SHAPE = (2, 3, 3)


@pytest.mark.parametrize("truncated", [False, True])
def test_positions_that_pass_a_square_are_fresh_where_its_operand_is(truncated: bool) -> None:
    conv = Conv2d(
        name="c", inputs=("x",), shape=SHAPE, in_channels=1, kernel=(3, 3), stride=(1, 1), padding=(1, 1), groups=1
    )
    nodes: list[Node] = [Input(name="x", inputs=(), shape=(1, 3, 3)), conv]
    frac_bits = {"x": 4, "c": 6}
    if truncated:
        nodes.append(Truncate(name="t", inputs=("c",), shape=SHAPE))
        frac_bits["t"] = 6
    nodes += [
        Square(name="s", inputs=(nodes[-1].name,), shape=SHAPE, active=5),
        Select(name="k", inputs=("s",), shape=SHAPE, active=9),
        Flatten(name="f", inputs=("k",), shape=(18,)),
        Linear(name="l", inputs=("f",), shape=(2,), in_features=18),
    ]
    graph = Graph(nodes=tuple(nodes))
    frac_bits |= {"s": 12, "k": 12, "f": 12, "l": 14}
    ring = RingConfig(
        ring_bits=59,
        frac_bits=frac_bits,
        weight_frac_bits={"c": 2, "l": 2},
        comparison_bits={"s": 12},
        logit_bits=40,
        score_step_log2=0,
    )
    check_graph(graph)
    check_ring(graph, ring)
    masks = {"s": np.arange(18).reshape(SHAPE) < 5, "k": np.arange(18).reshape(SHAPE) % 2 == 0}
    steps = plan(graph, ring, masks, "logits").steps
    assert [step.name for step in steps if isinstance(step, Remask)] == (["t"] if truncated else ["f/fresh"])
