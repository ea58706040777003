"""One comparison of few bits, everywhere it is computed: interpreters, training and secure gates draw alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gates import RELUS, STOCHASTIC, drive, prepare
from scipy import stats

from pi_system.artifact.graph import Graph, Input, Relu
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.program.float_point import FloatInterpreter
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg
from pi_system.train.random_sign import RandomSignReLU
from pi_system.train.relu import MaskedReLU

DRAWS = 1500
SPEC = GateSpec(count=DRAWS * 29, ring_bits=32, comparison_bits=24, shift=6, unseen_bits=10)
HALF = 1 << (SPEC.shift + SPEC.unseen_bits - 1)
LADDER = np.unique([int(HALF * step / 8) for step in range(-12, 13)] + [HALF - 1, HALF + 1, 1 - HALF, -1 - HALF])
"""Values across the window and beyond it on both sides."""
RING = RingConfig(
    ring_bits=32,
    frac_bits={"input": 14, "relu": 8},
    weight_frac_bits={},
    comparison_bits={"relu": 24},
    compare_bits={"relu": 8},
    logit_bits=20,
)
GRAPH = Graph(
    nodes=(
        Input(name="input", inputs=(), shape=(1, 1, LADDER.size)),
        Relu(name="relu", inputs=("input",), shape=(1, 1, LADDER.size), active=LADDER.size),
    )
)
COINS = Prg(b"a window of coin")


def secure(protocol: str) -> Callable[[Any], Any]:
    """The opened result of a gate."""

    def run(x: Any) -> Any:
        prepared = prepare(RELUS[protocol], SPEC, x.ravel(), seed=b"a gates material")
        return Ring(32).to_signed(drive(prepared)[0] + prepared.fresh_mask).reshape(x.shape)

    return run


def fixed(x: Any) -> Any:
    return FixedInterpreter(RING, {}, {}, coins=COINS).run(GRAPH, x)


def real(x: Any) -> Any:
    windows = {"relu": RING.window(GRAPH.nodes[1])}
    interpreter = FloatInterpreter({}, {}, random_signs=(windows, COINS))
    return interpreter.run(GRAPH, torch.from_numpy(x * 2.0**-14)).numpy() * 2.0**8


def trained(x: Any) -> Any:
    relu = MaskedReLU((1, 1, LADDER.size), stage=1, block=0)
    layer = RandomSignReLU(relu, RING.window(GRAPH.nodes[1]), "seed")
    return layer(torch.from_numpy(x * 2.0**-14).float()).numpy() * 2.0**8


WAYS = {"fixed": fixed, "float": real, "training": trained} | {
    name: secure(name) for name in RELUS if name in STOCHASTIC
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    """The result of every way on every value of the ladder, (DRAWS, values)."""
    x = np.tile(LADDER, (DRAWS, 1))[:, None, None].astype(np.int64)
    return {name: way(x).reshape(DRAWS, LADDER.size) for name, way in WAYS.items()}


def test_the_ladder_fills_the_gate() -> None:
    assert SPEC.count == DRAWS * LADDER.size
    assert abs(LADDER).max() < SPEC.limit


@pytest.mark.parametrize("way", WAYS)
def test_outside_of_the_window_signs_are_exact(way: str, drawn: dict[str, Any]) -> None:
    above, below = LADDER >= HALF, LADDER <= -HALF - 1
    found, expected = drawn[way], LADDER / 2**SPEC.shift
    assert (found[:, below] == 0).all()
    assert (abs(found[:, above] - expected[above]) < 1).all()


@pytest.mark.parametrize("way", WAYS)
def test_inside_a_value_is_kept_or_dropped_as_stated(way: str, drawn: dict[str, Any]) -> None:
    inside = (abs(LADDER) < HALF) & (LADDER != 0)
    values, found = LADDER[inside], drawn[way][:, inside]
    kept = found != 0
    assert (abs(found - values / 2**SPEC.shift)[kept] < 1).all()
    chance = 0.5 + values / (2 * HALF)
    assert (abs(kept.mean(axis=0) - chance) < 5 * np.sqrt(chance * (1 - chance) / DRAWS) + 1e-3).all()


@pytest.mark.parametrize("way", [name for name in WAYS if name != "fixed"])
def test_every_way_draws_like_the_fixed_point_interpreter(way: str, drawn: dict[str, Any]) -> None:
    inside = (abs(LADDER) < HALF) & (LADDER != 0)
    ours, theirs = (np.count_nonzero(drawn[name][:, inside], axis=0) for name in (way, "fixed"))
    pvalues = [stats.fisher_exact([[a, DRAWS - a], [b, DRAWS - b]]).pvalue for a, b in zip(ours, theirs, strict=True)]
    assert min(pvalues) > 1e-5
    neighbours = (drawn[way] != 0)[:, inside]
    assert abs(np.corrcoef(neighbours[:, 3], neighbours[:, 4])[0, 1]) < 5 / np.sqrt(DRAWS)  # a coin each
