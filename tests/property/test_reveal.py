"""Label and scores over an ideal gate that checks its input's range and rounds a shift either way at random."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_system.artifact.ring_config import RingConfig
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.secure.reveal import Revealer


def revealer(ring_bits: int, logit_bits: Any, seed: int) -> Any:
    """Both shares in one: what a role adds as a constant is the constant."""
    ring, rng = Ring(ring_bits), np.random.default_rng(seed)

    def gate(name: str, bits: int, shift: Any, x: Any) -> Any:
        GateSpec(count=max(1, x.size), ring_bits=ring_bits, comparison_bits=bits, shift=shift)
        values = ring.to_signed(x)
        assert (np.abs(values) < (1 << (bits - 1)) - (1 << shift if shift else 0)).all(), name
        coins = rng.integers(0, 2, x.shape) & (values & ((1 << shift) - 1) > 0)
        return ring.from_signed(np.maximum((values >> shift) + coins, 0))

    config = RingConfig(
        ring_bits=ring_bits, frac_bits={}, weight_frac_bits={}, comparison_bits={}, logit_bits=logit_bits
    )
    return Revealer(config, gate, ring.element), ring


@st.composite
def cases(draw: st.DrawFn, most_classes: Any) -> Any:
    """(ring bits, logit bits, logits (1, classes)): the extremes and their neighbours often."""
    ring_bits = draw(st.sampled_from([16, 32, 37, 59, 64]))
    logit_bits = draw(st.integers(2, min(ring_bits - 1, 36)))
    top = (1 << (logit_bits - 1)) - 1
    edges = st.sampled_from([value for value in (-top, 1 - top, -1, 0, 1, top - 1, top) if abs(value) <= top])
    logits = draw(st.lists(edges | st.integers(-top, top), min_size=1, max_size=most_classes))
    return ring_bits, logit_bits, np.array([logits], np.int64)


@settings(max_examples=200)
@given(cases(40), st.integers(0, 2**32))
def test_the_label_is_the_lowest_index_of_a_largest_logit(case: Any, seed: int) -> None:
    ring_bits, logit_bits, logits = case
    protocol, ring = revealer(ring_bits, logit_bits, seed)
    assert ring.to_signed(protocol.label(ring.from_signed(logits))).tolist() == [[int(logits.argmax())]]


@settings(max_examples=400)
@given(cases(4), st.integers(0, 2**32), st.data())
def test_scores_are_rounded_exactly_whichever_way_the_gate_rounds(case: Any, seed: int, data: st.DataObject) -> None:
    ring_bits, logit_bits, logits = case
    shift = data.draw(st.integers(1, max(1, logit_bits - 2)))
    half = 1 << (shift - 1)
    near_step = data.draw(st.integers(-1, 1)) + half  # next to where rounding turns, for the first logit
    logits[0, 0] = min((1 << (logit_bits - 1)) - 1, (int(logits[0, 0]) & -(1 << shift)) + near_step)
    protocol, ring = revealer(ring_bits, logit_bits, seed)
    found = ring.to_signed(protocol.scores(ring.from_signed(logits), shift))
    assert found.tolist() == [[(value + half) // (1 << shift) for value in logits[0].tolist()]]


@pytest.mark.parametrize("classes", [17, 200])
def test_the_widest_logits_of_a_ring_need_no_wider_gate(classes: int) -> None:
    top = (1 << 30) - 1
    protocol, ring = revealer(32, 31, 0)
    logits = np.full((1, classes), -top)
    logits[0, classes // 2 :: 3] = top
    assert ring.to_signed(protocol.label(ring.from_signed(logits))).tolist() == [[classes // 2]]
