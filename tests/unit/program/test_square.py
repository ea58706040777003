"""The square activation under the plaintext interpreters, and its counts."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_artifact import GRAPH as TINY

from pi_system.artifact import RingConfig
from pi_system.artifact.graph import Graph, Input, Square
from pi_system.errors import FixedPointRangeError
from pi_system.program import (
    count_nodes,
    mac_count,
    parameter_count,
    relu_count,
    relu_layers,
    square_count,
    square_layers,
)
from pi_system.program.error_bound import ulp_bound
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.program.float_point import FloatInterpreter

GRAPH = Graph(
    nodes=(
        Input(name="x", inputs=(), shape=(4,)),
        Square(name="square", inputs=("x",), shape=(4,), halvings=3),
    )
)
RING = RingConfig(
    ring_bits=20, frac_bits={"x": 4, "square": 11}, weight_frac_bits={}, comparison_bits={"square": 8}, logit_bits=16
)


def test_squares_are_counted_apart_from_relus() -> None:
    row = count_nodes(GRAPH)[1]
    assert (row.op, row.squares, row.relus, row.macs) == ("square", 4, 0, 0)
    assert (square_count(GRAPH), square_layers(GRAPH), relu_count(GRAPH)) == (4, 1, 0)


def test_fixed_point_is_exact_where_it_fits() -> None:
    values = np.array([[-127, 127, 0, 3]])
    found = FixedInterpreter(RING, {}, {}, check_range=True).run(GRAPH, values)
    assert found.tolist() == [[16129, 16129, 0, 9]]
    real = FloatInterpreter({}, {}).run(GRAPH, torch.from_numpy(values / 16.0))
    assert (real.numpy() * 2.0**11 == found).all()


def test_a_value_out_of_range_is_found_and_wraps() -> None:
    values = np.array([[128, 1000, 0, 0]])
    with pytest.raises(FixedPointRangeError, match="node square"):
        FixedInterpreter(RING, {}, {}, check_range=True).run(GRAPH, values)
    assert FixedInterpreter(RING, {}, {}).run(GRAPH, values)[0, 1] == 1_000_000 - (1 << 20)


def test_halvings_have_limits() -> None:
    with pytest.raises(ValidationError):
        Square(name="s", inputs=("x",), shape=(1,), halvings=17)


def test_an_exact_operand_gives_an_exact_square() -> None:
    assert ulp_bound(GRAPH, RING, {}, {}).tolist() == [0, 0, 0, 0]


def test_counts_of_a_graph_by_hand() -> None:
    rows = {row.name: row for row in count_nodes(TINY)}
    assert (rows["conv"].macs, rows["conv"].parameters) == (8 * 9, 18 + 2)
    assert (rows["fc"].macs, rows["fc"].parameters) == (16, 18)
    assert (rows["relu"].relus, rows["relu"].macs) == (5, 0)
    assert (relu_count(TINY), relu_layers(TINY)) == (5, 1)
    assert (mac_count(TINY), parameter_count(TINY)) == (88, 38)
