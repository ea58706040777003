"""The kernels of a gate's value against the same arithmetic on Python's integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_system.kernels.gmw import gmw_mask, gmw_open, gmw_replies, gmw_result
from pi_system.protocols.ot.strings import carrier
from pi_system.ring.prg import Prg

COUNTS = st.sampled_from([1, 7, 8, 63, 64, 65, 130])
SEEDS = st.integers(0, 1 << 30)


class _Draw:
    """Arrays of any value of their type: what is above the ring's bits must not matter."""

    def __init__(self, seed: Any, count: Any) -> None:
        self._prg, self._count = Prg(seed.to_bytes(16, "little")), count

    def elements(self, bits: Any) -> Any:
        dtype = np.dtype(carrier(bits))
        return np.frombuffer(self._prg.bytes(self._count * dtype.itemsize), dtype).copy()

    def plane(self) -> Any:
        return np.frombuffer(self._prg.bytes((self._count + 7) // 8), np.uint8)


def _ints(array: Any) -> Any:
    return [int(x) for x in array]


def _bits(plane: Any, count: Any) -> Any:
    return [int(plane[i // 8]) >> (i % 8) & 1 for i in range(count)]


def _signed(x: Any, bits: Any) -> Any:
    return (x & ((1 << bits) - 1)) - ((x >> (bits - 1) & 1) << bits)


def _equal(found: Any, expected: Any, bits: Any) -> None:
    assert [int(x) % (1 << bits) for x in found] == [x % (1 << bits) for x in expected]


@st.composite
def _cuts(draw: st.DrawFn) -> Any:
    ring_bits = draw(st.integers(2, 64))
    return ring_bits, draw(st.integers(1, ring_bits - 1))


@given(_cuts(), COUNTS, SEEDS)
def test_mask_is_the_signed_truncation_and_the_signed_wrap(cut: Any, count: Any, seed: Any) -> None:
    (ring_bits, shift), draw = cut, _Draw(seed, count)
    share, mask, sign, carry = draw.elements(ring_bits), draw.elements(ring_bits), draw.elements(shift), draw.plane()
    value, wrap = gmw_mask(ring_bits, shift, share, carry, mask, sign)
    y, c = [_signed(x, ring_bits) for x in _ints(share)], _bits(carry, count)
    floors = [(a >> shift) for a in y]
    masked = [(-a - 1 if b else a) - m for a, b, m in zip(floors, c, _ints(mask), strict=True)]
    _equal(value, masked, ring_bits)
    _equal(wrap, [s + (1 - 2 * b) * (a < 0) for a, b, s in zip(y, c, _ints(sign), strict=True)], shift)


@given(_cuts(), COUNTS, SEEDS)
def test_open_adds_the_truncated_share_and_the_chosen_wrap(cut: Any, count: Any, seed: Any) -> None:
    (ring_bits, shift), draw = cut, _Draw(seed, count)
    value, truncated = draw.elements(ring_bits), draw.elements(ring_bits)
    word, correction, negative = draw.elements(shift), draw.elements(shift), draw.plane()
    found = value.copy()
    gmw_open(ring_bits, shift, found, truncated, negative, word, correction)
    wraps = [w + b * c for w, b, c in zip(_ints(word), _bits(negative, count), _ints(correction), strict=True)]
    up = ring_bits - shift
    _equal(found, [v + t + (w << up) for v, t, w in zip(_ints(value), _ints(truncated), wraps, strict=True)], ring_bits)


@pytest.mark.parametrize("with_carry", [False, True])
@given(st.integers(1, 64), COUNTS, SEEDS)
def test_replies_hold_the_value_for_either_share_of_the_bit(
    with_carry: bool, ring_bits: Any, count: Any, seed: Any
) -> None:
    draw = _Draw(seed, count)
    value, unmask, *own = (draw.elements(ring_bits) for _ in range(4))
    positive, swapped, carry = draw.plane(), draw.plane(), draw.plane() if with_carry else None
    found = gmw_replies(positive, swapped, carry, value, unmask, tuple(own))
    c = _bits(carry, count) if with_carry else [0] * count
    mine = [(1 - 2 * b) * u for b, u in zip(_bits(swapped, count), _ints(unmask), strict=True)]
    for share, reply in enumerate(found):
        rows = zip(_bits(positive, count), _ints(value), c, mine, _ints(own[share]), strict=True)
        _equal(reply, [(b ^ share) * (v + d) + m + o for b, v, d, m, o in rows], ring_bits)


@pytest.mark.parametrize("with_carry", [False, True])
@given(st.integers(1, 64), COUNTS, SEEDS)
def test_result_is_the_chosen_reply_with_its_sign(with_carry: bool, ring_bits: Any, count: Any, seed: Any) -> None:
    draw = _Draw(seed, count)
    replies, own = ([draw.elements(ring_bits) for _ in range(2)] for _ in range(2))
    choice, swapped, carry = draw.plane(), draw.plane(), draw.plane() if with_carry else None
    out = np.empty(count, carrier(ring_bits))
    gmw_result(ring_bits, choice, swapped, carry, tuple(replies), tuple(own), out)
    c = _bits(carry, count) if with_carry else [0] * count
    rows = zip(_bits(choice, count), _bits(swapped, count), c, range(count), strict=True)
    expected = [(1 - 2 * n) * (int(replies[b][i]) + int(own[s][i])) % (1 << ring_bits) for b, s, n, i in rows]
    assert _ints(out) == expected


def test_arrays_that_do_not_fit_are_refused() -> None:
    share, plane = np.zeros(16, np.uint64), np.zeros(2, np.uint8)
    for ring_bits, shift in ((65, 1), (59, 0), (59, 59)):
        with pytest.raises(ValueError, match=r"ring_bits|shift"):
            gmw_mask(ring_bits, shift, share, plane, share, share)
    with pytest.raises(ValueError, match="carry bytes: expected 2, found 1"):
        gmw_mask(59, 12, share, plane[:1], share, share)
    with pytest.raises(ValueError, match="mask: expected 16, found 15"):
        gmw_mask(59, 12, share, plane, share[1:], share)
    with pytest.raises(ValueError, match="element bits"):
        gmw_replies(plane, plane, None, share, share, (share, share.astype(np.uint32)))
