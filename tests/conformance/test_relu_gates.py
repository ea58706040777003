"""Every ReLU protocol against the ideal one, over ring, comparison and shift; declared cost is counted cost.

A new protocol registers in tests/support/gates.py and writes no new tests here.
"""

import numpy as np
import pytest
from gates import MAX_COMPARISON_BITS, RELUS, STOCHASTIC, drive, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_system.errors import ConfigError
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg
from pi_system.secure.turns import CHUNK

SEED = bytes(range(16))
WIDTHS = [
    *[(32, 24, 10), (32, 32, 0), (32, 12, 10), (40, 26, 8), (64, 17, 0), (64, 36, 20), (20, 20, 5), (16, 9, 0)],
    *[(32, 29, 14), (32, 18, 1), (32, 10, 8)],
]


def _run(protocol, spec, values):
    """D + r as signed integers for secret signed ``values``, the client's share, and both counters."""
    ring, prg = Ring(spec.ring_bits), Prg(SEED)
    client_share = prg.ring(len(values), spec.ring_bits)
    fresh_mask = prg.ring(len(values), spec.ring_bits)
    gates = make(RELUS[protocol], spec, client_share, fresh_mask)
    masked, server, client = drive(gates, spec, ring.from_signed(values) - client_share)
    return ring.to_signed(masked + fresh_mask), gates.cost, server, client


def _top(bits, shift):
    """The largest value a gate takes."""
    return (1 << (bits - 1)) - (1 << shift if shift else 0) - 1


def _values(bits, shift, count):
    """Signed values of the whole allowed range, extremes, neighbours of zero and halves of an ulp first."""
    top, half = _top(bits, shift), 1 << shift >> 1
    edges = np.array([0, 1, -1, top, -top, top - 1, 1 - top, top // 2, -(top // 2), half, -half, 3 * half, -3 * half])
    edges = edges[np.abs(edges) <= top]
    drawn = Prg(SEED).child(bits).ring(count, 64).astype(np.int64) % (2 * top + 1) - top
    return np.concatenate([edges, drawn])[:count]


def _right(protocol, values, shift, found):
    """Per element: is it one that the protocol may give?"""
    if protocol in STOCHASTIC:
        floor, rest = values >> shift, values & ((1 << shift) - 1)
        return (found == np.maximum(floor, 0)) | ((rest > 0) & (found == np.maximum(floor + 1, 0)))
    return found == np.maximum((values + (1 << shift >> 1)) >> shift, 0)


@pytest.mark.parametrize("protocol", RELUS)
@pytest.mark.parametrize(("ring_bits", "comparison_bits", "shift"), WIDTHS)
def test_output_is_the_rounded_relu_and_cost_is_as_declared(protocol, ring_bits, comparison_bits, shift):
    spec = GateSpec(count=700, ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift)
    values = _values(comparison_bits, shift, spec.count)
    found, cost, server, client = _run(protocol, spec, values)
    assert _right(protocol, values, shift, found).all()
    assert server.sent_bytes == cost.server_to_client_bytes
    assert client.sent_bytes == cost.client_to_server_bytes
    assert server.rounds == cost.round_trips


@pytest.mark.parametrize("protocol", RELUS)
@pytest.mark.parametrize("count", [1, 31, 32, 33, CHUNK - 1, CHUNK + 1, 2 * CHUNK + 40])
def test_any_number_of_elements_in_chunks(protocol, count):
    spec = GateSpec(count=count, ring_bits=32, comparison_bits=20, shift=8)
    values = _values(20, 8, count)
    found, cost, server, _ = _run(protocol, spec, values)
    assert _right(protocol, values, 8, found).all()
    assert server.sent_bytes == cost.server_to_client_bytes


@pytest.mark.parametrize("protocol", RELUS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_width(protocol, data):
    ring_bits = data.draw(st.integers(8, 64), "ring bits")
    comparison_bits = data.draw(
        st.integers(2, min(ring_bits, MAX_COMPARISON_BITS.get(protocol, 48))), "comparison bits"
    )
    shift = data.draw(st.integers(0, comparison_bits - 2), "shift")
    top = _top(comparison_bits, shift)
    values = np.array(data.draw(st.lists(st.integers(-top, top), min_size=1, max_size=40), "values"))
    spec = GateSpec(count=len(values), ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift)
    found, *_ = _run(protocol, spec, values)
    assert _right(protocol, values, shift, found).all()


@pytest.mark.parametrize("protocol", RELUS)
@pytest.mark.parametrize("shift", [3, 12])
def test_the_rounding_error_is_independent_of_the_clients_share(protocol, shift):
    """The client knows y_1, so an error that followed its low bits would tell weights: over many gates on one value the
    error's mean must not move with them. The local truncation of shares, by the same measure, moves it by far."""
    count, bits, value = 40_000, 20, (1 << 15) + 5 * (1 << shift) // 16
    spec = GateSpec(count=count, ring_bits=32, comparison_bits=bits, shift=shift)
    client_share = Prg(SEED).ring(count, 32)
    found, *_ = _run(protocol, spec, np.full(count, value))
    error = found - value / 2**shift
    residue = (client_share & np.uint32((1 << shift) - 1)) / 2**shift
    assert abs(_correlation(residue, error)) < 5 / np.sqrt(count)
    if protocol in STOCHASTIC:
        assert abs(error.mean()) < 5 * error.std() / np.sqrt(count)
        assert error.std() > 0.4  # a coin of probability 5/16, not a constant
    ring = Ring(32)
    shares = ring.from_signed(np.full(count, value)) - client_share, client_share
    local = ring.to_signed(sum(x >> np.uint32(shift) for x in shares) + np.uint32(0)) - value / 2**shift
    assert abs(_correlation(residue, local % 2 ** (32 - shift))) > 0.3


def _correlation(x, y):
    return 0.0 if y.std() == 0 else float(np.corrcoef(x, y)[0, 1])


@pytest.mark.parametrize(
    "fields", [{"count": 0}, {"comparison_bits": 33}, {"shift": 24}, {"shift": 23}, {"comparison_bits": 1}]
)
def test_specs_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError, match="expected"):
        GateSpec(**({"count": 1, "ring_bits": 32, "comparison_bits": 24, "shift": 0} | fields))
