"""Every ReLU protocol against the ideal one, over ring, comparison and shift; declared cost is counted cost.

A new protocol registers in tests/support/gates.py and writes no new tests here.
"""

import numpy as np
import pytest
from gates import MAX_COMPARISON_BITS, PROTOCOLS, drive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_system.errors import ConfigError
from pi_system.online.chunks import CHUNK
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg

SEED = bytes(range(16))
WIDTHS = [(32, 24, 10), (32, 32, 0), (32, 12, 11), (40, 26, 8), (64, 17, 0), (64, 36, 20), (20, 20, 5), (16, 9, 0)]


def _run(protocol, spec, values):
    """D + r as signed integers for secret signed ``values``, and both counters."""
    ring, prg = Ring(spec.ring_bits), Prg(SEED)
    client_share = prg.ring(len(values), spec.ring_bits)
    fresh_mask = prg.ring(len(values), spec.ring_bits)
    gates = PROTOCOLS[protocol](spec, client_share, fresh_mask)
    masked, server, client = drive(gates, spec, ring.from_signed(values) - client_share)
    return ring.to_signed(masked + fresh_mask), gates.cost, server, client


def _values(bits, count):
    """Signed values of the whole allowed range, extremes and neighbours of zero first."""
    top = (1 << (bits - 1)) - 1
    edges = np.array([0, 1, -1, top, -top, top - 1, 1 - top, top // 2, -(top // 2)])
    drawn = Prg(SEED).child(bits).ring(count, 64).astype(np.int64) % (2 * top + 1) - top
    return np.concatenate([edges, drawn])[:count]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("ring_bits", "comparison_bits", "shift"), WIDTHS)
def test_output_is_relu_shifted_or_one_ulp_more_and_cost_is_as_declared(protocol, ring_bits, comparison_bits, shift):
    spec = GateSpec(count=700, ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift)
    values = _values(comparison_bits, spec.count)
    found, cost, server, client = _run(protocol, spec, values)
    error = found - (np.maximum(values, 0) >> shift)
    assert set(np.unique(error)) <= ({0, 1} if shift else {0})
    assert (found[values <= 0] >= 0).all()
    assert server.sent_bytes == cost.server_to_client_bytes
    assert client.sent_bytes == cost.client_to_server_bytes
    assert server.rounds == cost.round_trips


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [1, 31, 32, 33, CHUNK - 1, CHUNK + 1, 2 * CHUNK + 40])
def test_any_number_of_elements_in_chunks(protocol, count):
    spec = GateSpec(count=count, ring_bits=32, comparison_bits=20, shift=8)
    values = _values(20, count)
    found, cost, server, _ = _run(protocol, spec, values)
    assert ((found - (np.maximum(values, 0) >> 8)) >> 1 == 0).all()
    assert server.sent_bytes == cost.server_to_client_bytes


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_width(protocol, data):
    ring_bits = data.draw(st.integers(8, 64), "ring bits")
    comparison_bits = data.draw(
        st.integers(2, min(ring_bits, MAX_COMPARISON_BITS.get(protocol, 48))), "comparison bits"
    )
    shift = data.draw(st.integers(0, comparison_bits - 1), "shift")
    top = (1 << (comparison_bits - 1)) - 1
    values = np.array(data.draw(st.lists(st.integers(-top, top), min_size=1, max_size=40), "values"))
    spec = GateSpec(count=len(values), ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift)
    found, *_ = _run(protocol, spec, values)
    errors = {(int(y) - max(int(x), 0) // (1 << shift)) % (1 << ring_bits) for x, y in zip(values, found, strict=True)}
    assert errors <= ({0, 1} if shift else {0})


@pytest.mark.parametrize("fields", [{"count": 0}, {"comparison_bits": 33}, {"shift": 24}, {"comparison_bits": 1}])
def test_specs_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError, match="expected"):
        GateSpec(**({"count": 1, "ring_bits": 32, "comparison_bits": 24, "shift": 0} | fields))
