"""The merges of a comparison against the plain bits, and the cuts of a comparison."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from pi_system.errors import ConfigError
from pi_system.protocols.relu_gmw.cut import MAX_COMPARISON_BITS, lightest_cut
from pi_system.protocols.relu_gmw.level import Level
from pi_system.protocols.relu_gmw.merge import last_merge, merge
from pi_system.ring.prg import Prg

PRG = Prg(b"0123456789abcdef")


def plane() -> np.ndarray:
    return np.frombuffer(PRG.bytes(64), np.uint8)


def run(*groups: Any) -> Any:
    """Of every merge of a level the merged bits, as the protocol computes them, and the inputs in the clear."""
    level = Level(groups)
    early, late, masks, offsets, sigmas, made = (list[Any]() for _ in range(6))
    for m in groups:
        factors = {slot: plane() for slot in m.coefficients}
        s = m.early_inputs(factors, [plane() for _ in m.variables])
        t = {variable: plane() for variable in m.variables}
        u = [plane() for _ in m.openings]
        z = [plane() for _ in range(m.outputs)]
        v = {slot: plane() for slot in m.coefficients}
        late_offsets, early_offsets = list(z), [m.alone(s, output) for output in range(m.outputs)]
        for mask, (monomial, outputs) in zip(u, m.openings, strict=True):
            for output in outputs:
                slot = monomial, output
                early_offsets[output] = early_offsets[output] ^ v[slot]
                late_offsets[output] = late_offsets[output] ^ v[slot] ^ (mask & m.sigma(s, slot))
                if slot not in m.fixed:
                    assert np.array_equal(m.sigma(s, slot), factors[slot])
        early, late, masks, offsets = early + early_offsets, [*late, t], masks + u, offsets + late_offsets
        sigmas += [m.sigma(s, slot) for slot in m.coefficients]
        made.append((z, {variable: s[variable] ^ t[variable] for variable in m.variables}))
    rows = level.rows(64)
    rows[: level.inputs] = [t[name] for kind in "le" for t in late for name in t if name[0] == kind]
    message = level.late(rows, stacked(masks), stacked(offsets))
    assert len(message) == sum(m.message_planes for m in groups)
    found = np.empty((level.outputs, 64), np.uint8)
    level.early(message, stacked(sigmas), stacked(early), found)
    firsts, seconds = iter(found[: len(groups)]), iter(found[len(groups) :])
    shares = [[next(firsts), *(next(seconds) for _ in range(m.outputs - 1))] for m in groups]
    return [([a ^ b for a, b in zip(own, z, strict=True)], x) for own, (z, x) in zip(shares, made, strict=True)]


def stacked(planes: Any) -> Any:
    return np.array(planes, np.uint8).reshape(-1, 64)


def less_of(x: Any, first: int, end: Any) -> Any:
    less, equal = np.zeros(64, np.uint8), np.full(64, 255, np.uint8)
    for i in range(first, end):
        less, equal = less ^ (equal & x["l", i]), equal & x.get(("e", i), equal)
    return less, equal


@pytest.mark.parametrize("with_equal", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_merge_gives_shares_of_the_merged_bits(size: int, with_equal: bool) -> None:
    m = merge(size, with_equal)
    (results, x), *_ = run(m, merge(1, False)) if with_equal else run(m)
    less, equal = less_of(x, 0, size)
    assert np.array_equal(results[0], less)
    if with_equal:
        assert np.array_equal(results[1], equal)
    assert len({monomial for monomial, _ in m.openings}) == len(m.openings)  # one mask a monomial


@pytest.mark.parametrize(("size", "low"), [(n, low) for n in (1, 2, 3, 4, 5, 6) for low in range(n)])
def test_the_last_merge_gives_the_result_and_the_carry(size: int, low: int) -> None:
    m = last_merge(size, low)
    [(results, x)] = run(m)
    assert np.array_equal(results[0], less_of(x, 0, size)[0])
    assert len(results) == (2 if low else 1)
    if low:
        assert np.array_equal(results[1], less_of(x, size - low, size)[0])
    assert all(len(outputs) == 1 for _, outputs in m.openings)  # the sender's masks differ by output


def test_merges_side_by_side_do_not_mix() -> None:
    for groups in product((1, 2, 3), repeat=3):
        for size, (results, x) in zip(groups, run(*(merge(n, i < 2) for i, n in enumerate(groups))), strict=True):
            for result, expected in zip(results, less_of(x, 0, size), strict=False):
                assert np.array_equal(result, expected)


@pytest.mark.parametrize("bits", range(2, MAX_COMPARISON_BITS + 1))
def test_a_cut_covers_the_comparison(bits: int) -> None:
    for shift in range(0, bits - 1, 1 if bits < 39 else 6):
        cut = lightest_cut(bits, shift)
        assert sum(cut.widths) - cut.widths[0] < bits - 1 <= sum(cut.widths)
        assert sum(cut.groups) == len(cut.widths)
        assert len(cut.groups) <= (4 if bits < 39 else 6)
        assert len(cut.widths) <= 16
        assert max(cut.groups) <= 3
        low_leaves = sum(cut.groups[len(cut.groups) - cut.low_groups :])
        assert sum(cut.widths[len(cut.widths) - low_leaves :]) == shift


def test_a_wider_comparison_costs_no_less() -> None:
    weights = [lightest_cut(bits).weight for bits in range(2, MAX_COMPARISON_BITS + 1)]
    assert weights == sorted(weights)


def test_a_comparison_too_wide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected 2\.\.59, found 60"):
        lightest_cut(60)
