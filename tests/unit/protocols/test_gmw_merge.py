"""The merges of a comparison against the plain bits, and the cuts of a comparison."""

import numpy as np
import pytest

from pi_system.errors import ConfigError
from pi_system.protocols.relu_gmw.merge import merge
from pi_system.protocols.relu_gmw.plan import MAX_COMPARISON_BITS, plan
from pi_system.ring.prg import Prg

PRG = Prg(b"0123456789abcdef")


def plane() -> np.ndarray:
    return np.frombuffer(PRG.bytes(64), np.uint8)


@pytest.mark.parametrize("with_equal", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_merge_gives_shares_of_the_merged_bits(size: int, with_equal: bool) -> None:
    m = merge(size, with_equal)
    factors = {slot: plane() for slot in m.coefficients}
    s = m.early_inputs(factors, [plane() for _ in m.variables])
    t = {variable: plane() for variable in m.variables}
    u = [plane() for _ in m.monomials]
    z = [plane() for _ in range(m.outputs)]
    v = {slot: plane() for slot in m.coefficients}
    late_offsets, early_offsets = list(z), [m.alone(s, output) for output in range(m.outputs)]
    for monomial, output in m.coefficients:
        slot = monomial, output
        early_offsets[output] = early_offsets[output] ^ v[slot]
        w = v[slot] ^ (u[m.monomials.index(monomial)] & m.sigma(s, slot))
        late_offsets[output] = late_offsets[output] ^ w
        if slot not in m.fixed:
            assert np.array_equal(m.sigma(s, slot), factors[slot])
    message = m.late_message(t, u, late_offsets)
    results = m.early_outputs(message, {slot: m.sigma(s, slot) for slot in m.coefficients}, early_offsets)
    assert len(message) == m.message_planes
    x = {variable: s[variable] ^ t[variable] for variable in m.variables}
    less, equal = x["l", 0], np.full(64, 255, np.uint8)
    for i in range(1, size):
        equal = equal & x["e", i - 1]
        less = less ^ (equal & x["l", i])
    assert np.array_equal(results[0] ^ z[0], less)
    if with_equal:
        assert np.array_equal(results[1] ^ z[1], equal & x["e", size - 1])


@pytest.mark.parametrize("bits", range(2, MAX_COMPARISON_BITS + 1))
def test_a_cut_covers_the_comparison(bits: int) -> None:
    cut = plan(bits)
    assert sum(cut.widths) - cut.widths[0] < bits - 1 <= sum(cut.widths)
    assert sum(cut.groups) == len(cut.widths)
    assert len(cut.groups) <= 3
    assert max(cut.groups) <= 3


def test_a_wider_comparison_costs_no_less() -> None:
    weights = [plan(bits).weight for bits in range(2, MAX_COMPARISON_BITS + 1)]
    assert weights == sorted(weights)


def test_a_comparison_too_wide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected 2\.\.37, found 38"):
        plan(38)
