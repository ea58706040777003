"""The page's chi-square test, against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare

from pi_system.demo.uniform import exceeds, judge, low_bytes


@given(st.floats(0, 2000), st.sampled_from([1, 3, 21, 255]))
def test_the_tail_is_that_of_chi_square(statistic: float, freedom: int) -> None:
    assert exceeds(statistic, freedom) == pytest.approx(chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)


def test_uniform_bytes_look_uniform_and_others_do_not() -> None:
    data = np.random.default_rng(5).integers(0, 256, 20_000, dtype=np.uint8)
    found, expected = judge(data), chisquare(np.bincount(data, minlength=256))
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.uniform
    assert sum(found.counts) == data.size
    assert not judge(data & np.uint8(254)).uniform
    assert not judge(np.zeros(5000, np.uint8)).uniform


def test_of_an_element_the_whole_bytes_are_looked_at() -> None:
    elements = np.array([0x0123456789ABCDEF, 0x07FFFFFFFFFFFFFF], np.uint64)
    assert low_bytes(elements, 59)[0].tobytes() == bytes.fromhex("efcdab89674523")
    assert low_bytes(elements, 59).shape == (2, 7)
    assert low_bytes(elements.astype(np.uint32), 32).shape == (2, 4)
