"""Where few bits are compared and little is seen below them, every value's whole law: interpreter and secure gates.

Sign and rounding draw a coin each. With ``fss``, as in the interpreter, the two are independent; with ``table`` the
sign is that of the rounded value, which for small g is another law, a quarter of 2^-g ulps apart in the mean at most.
"""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from gates import RELUS, drive, prepare
from scipy import stats

from pi_system.artifact.graph import Graph, Input, Relu
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg

COUNT = 2048
SEED = b"all of a sign's!"
COINS = Prg(SEED)
SHIFTS = [(2, 1), (1, 3), (3, 2), (0, 3)]
"""t and g."""


def spec_of(shift: int, unseen: int) -> GateSpec:
    return GateSpec(count=COUNT, ring_bits=32, comparison_bits=shift + unseen + 5, shift=shift, unseen_bits=unseen)


def values_of(spec: GateSpec) -> list[int]:
    half = 1 << (spec.shift + spec.unseen_bits - 1)
    return sorted({-half - 1, -half, 1 - half, -half // 2, -1, 0, 1, half // 2 + 1, half - 1, half, half + 1})


def independent(spec: GateSpec, y: int) -> Counter[int]:
    """How many of all pairs of coins give each result."""
    window, found = 1 << (spec.shift + spec.unseen_bits), Counter[int]()
    for low, coin in product(range(1 << spec.shift), range(window)):
        found[(y + low) >> spec.shift if y + coin >= window // 2 else 0] += 1
    return found


def of_the_rounded(spec: GateSpec, y: int) -> Counter[int]:
    """The same, of a sign by the value that was rounded."""
    window, found = 1 << spec.unseen_bits, Counter[int]()
    for low, coin in product(range(1 << spec.shift), range(window)):
        rounded = (y + low) >> spec.shift
        found[rounded if rounded + coin >= window // 2 else 0] += 1
    return found


def secure(protocol: str, spec: GateSpec, y: int) -> Any:
    prepared, ring = prepare(RELUS[protocol], spec, np.full(COUNT, y), seed=SEED), Ring(32)
    return ring.to_signed(ring.reduce(drive(prepared)[0] + prepared.fresh_mask))


def fixed(spec: GateSpec, y: int) -> Any:
    ring = RingConfig(
        ring_bits=32,
        frac_bits={"input": spec.shift, "relu": 0},
        weight_frac_bits={},
        comparison_bits={"relu": spec.comparison_bits},
        compare_bits={"relu": spec.compared_bits},
        logit_bits=20,
    )
    shape = (1, 1, COUNT)
    nodes = (
        Input(name="input", inputs=(), shape=shape),
        Relu(name="relu", inputs=("input",), shape=shape, active=COUNT),
    )
    return FixedInterpreter(ring, {}, {}, coins=COINS).run(Graph(nodes=nodes), np.full((1, *shape), y))


def fits(found: Any, law: Counter[int]) -> float:
    """P-value of the results against their law; 0 for a result that it does not have."""
    counts = Counter(found.reshape(-1).tolist())
    if not counts.keys() <= law.keys():
        return 0.0
    if len(law) == 1:
        return 1.0
    expected = [COUNT * law[value] / law.total() for value in law]
    return float(stats.chisquare([counts[value] for value in law], expected).pvalue)


WAYS: dict[str, tuple[Callable[[GateSpec, int], Any], Callable[[GateSpec, int], Counter[int]]]] = {
    "fixed": (fixed, independent),
    "fss": (lambda spec, y: secure("dcf", spec, y), independent),
    "table": (lambda spec, y: secure("table", spec, y), of_the_rounded),
}


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("way", WAYS)
def test_every_result_is_as_likely_as_stated(way: str, shifts: tuple[int, int]) -> None:
    spec, (run, law) = spec_of(*shifts), WAYS[way]
    for y in values_of(spec):
        assert fits(run(spec, y), law(spec, y)) > 1e-6


@pytest.mark.parametrize("shifts", SHIFTS)
def test_the_two_laws_are_as_near_as_stated(shifts: tuple[int, int]) -> None:
    spec = spec_of(*shifts)
    for y in values_of(spec):
        laws = independent(spec, y), of_the_rounded(spec, y)
        means = [sum(value * count for value, count in law.items()) / law.total() for law in laws]
        assert abs(means[0] - means[1]) <= 2.0 ** -(spec.unseen_bits + 2)
        kept = [1 - law[0] / law.total() for law in laws if y >> spec.shift and -y >> spec.shift]
        assert len(set(kept)) <= 1


def test_the_test_would_see_the_other_law() -> None:
    spec = spec_of(2, 1)
    assert fits(fixed(spec, 2), of_the_rounded(spec, 2)) < 1e-9
    assert fits(secure("table", spec, 2), independent(spec, 2)) < 1e-9
