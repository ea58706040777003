"""Truncation pairs, dealt and made by the two parties: right up to one ulp, unbiased, and independent of the client."""

from typing import Any

import numpy as np
import pytest
from halves import run_alone, run_halves
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from insecure_cots import insecure_parties

from pi_system.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from pi_system.protocols.ot import ot_setup
from pi_system.protocols.truncation import TruncationSpec, client_message_bytes, dealt, offline_cost, pairs, truncate
from pi_system.protocols.truncation.carry import ClientCarry, carry_blocks
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg, fresh_seed

SEED = bytes(range(16))


def _dealt(spec: Any, y_share: Any, fresh_mask: Any) -> Any:
    seed0, seed1 = fresh_seed(), fresh_seed()
    correction = dealt.receive_correction(spec, dealt.deal(spec, seed0, seed1, fresh_mask))
    packed = dealt.mask_share(spec, seed1, y_share)
    assert packed.nbytes == client_message_bytes(spec)
    return dealt.receive_masked(spec, seed0, packed), correction


def _pairs(spec: Any, y_share: Any, fresh_mask: Any) -> Any:
    ran = _by_ots(spec, y_share, fresh_mask, insecure_parties(fresh_seed()))
    declared = offline_cost(spec)
    assert ran.at_server.sent_bytes == declared.server_to_client_bytes
    assert ran.at_client.sent_bytes == declared.client_to_server_bytes
    if spec.count <= 4096:  # of one chunk; of several, pipelining is taken for rounds
        assert ran.at_server.rounds <= declared.round_trips
    return ran.server


def _silent(spec: Any, y_share: Any, fresh_mask: Any) -> Any:
    ends = run_halves(*(ot_setup(Prg(fresh_seed())) for _ in range(2)))
    return _by_ots(spec, y_share, fresh_mask, ends[:2]).server


def _by_ots(spec: Any, y_share: Any, fresh_mask: Any, ends: Any) -> Any:
    return run_halves(
        pairs.offline_server(spec, ends[0], Prg(fresh_seed())),
        pairs.offline_client(spec, y_share, fresh_mask, ends[1]),
    )


MAKERS = {"dealt": _dealt, "pairs": _pairs, "pairs over silent OTs": _silent}


def _run(maker: Any, spec: Any, values: Any) -> Any:
    """D + r as signed integers for secret signed ``values``, and the client's share."""
    ring, prg = Ring(spec.ring_bits), Prg(SEED)
    y_share, fresh_mask = prg.ring(spec.count, spec.ring_bits), prg.ring(spec.count, spec.ring_bits)
    offset, correction = MAKERS[maker](spec, y_share, fresh_mask)
    out = truncate(spec, ring.from_signed(values) - y_share, offset, correction)
    return ring.to_signed(out + fresh_mask), y_share


def _values(bits: int, count: int) -> Any:
    top = (1 << bits) - 1
    edges = np.array([0, 1, -1, top, -top, top // 2, -(top // 2)])
    return np.concatenate([edges, Prg(SEED).child(bits).ring(count, 64).astype(np.int64) % (2 * top + 1) - top])[:count]


@pytest.mark.parametrize("maker", ["dealt", "pairs"])
@pytest.mark.parametrize(
    ("ring_bits", "bits", "shift"), [(59, 30, 12), (64, 36, 14), (48, 22, 1), (59, 34, 2), (64, 40, 36), (59, 30, 33)]
)
def test_a_value_is_rounded_to_a_neighbour(maker: str, ring_bits: int, bits: int, shift: int) -> None:
    spec = TruncationSpec(count=700, ring_bits=ring_bits, shift=shift)
    values = _values(bits, spec.count)
    found, _ = _run(maker, spec, values)
    assert np.isin(found - (values >> shift), [0, 1]).all()
    exact = values & ((1 << shift) - 1) == 0
    assert (found[exact] == values[exact] >> shift).all()


@pytest.mark.parametrize("maker", ["dealt", "pairs"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_width(maker: str, data: st.DataObject) -> None:
    ring_bits = data.draw(st.integers(40, 64), "ring bits")
    shift = data.draw(st.integers(1, ring_bits - 24), "shift")
    values = np.array(data.draw(st.lists(st.integers(-(2**12), 2**12), min_size=1, max_size=70), "values"))
    found, _ = _run(maker, TruncationSpec(count=len(values), ring_bits=ring_bits, shift=shift), values)
    assert np.isin(found - (values >> shift), [0, 1]).all()


@pytest.mark.parametrize("maker", MAKERS)
def test_the_error_is_unbiased_and_independent_of_the_clients_share(maker: str) -> None:
    count, shift = 40_000, 10
    spec = TruncationSpec(count=count, ring_bits=59, shift=shift)
    value = 77_000 * 1024 + 320
    found, y_share = _run(maker, spec, np.full(count, value))
    error = found - value / 2**shift
    residue = y_share & np.uint64((1 << shift) - 1)
    assert abs(error.mean()) < 5 * error.std() / np.sqrt(count)
    assert abs(np.corrcoef(residue, error)[0, 1]) < 5 / np.sqrt(count)
    local = (residue + (np.uint64(value) - y_share & np.uint64(1023)) >= 1024).astype(float)  # carry a local one loses
    assert abs(np.corrcoef(residue, local)[0, 1]) > 0.3


@pytest.mark.parametrize("maker", MAKERS)
def test_a_failure_is_as_rare_as_stated(maker: str) -> None:
    """Values of 2^15 in a ring of 24 bits fail with probability 2^-9; the bound says at most (2^15 + 2^4) / 2^24."""
    count = 100_000
    spec = TruncationSpec(count=count, ring_bits=24, shift=4)
    values = np.full(count, 1 << 15)
    found, _ = _run(maker, spec, values)
    failures = count - int(np.isin(found - (values >> 4), [0, 1]).sum())
    expected = count * 2.0**-9
    assert expected - 6 * np.sqrt(expected) < failures < expected * (1 + 2.0**-11) + 6 * np.sqrt(expected)


@pytest.mark.parametrize("share", [0, 1 << 58])
def test_the_clients_message_to_the_server_is_uniform(share: int) -> None:
    """Its share is known to it alone: the summand must hide all bits, not only those that are dropped."""
    count, ring_bits = 8192, 59
    spec = TruncationSpec(count=count, ring_bits=ring_bits, shift=12)
    packed = dealt.mask_share(spec, fresh_seed(), np.full(count, share, np.uint64))
    seen = dealt.receive_correction(spec, packed)
    for bit in range(ring_bits):
        assert abs((seen >> np.uint64(bit) & np.uint64(1)).mean() - 0.5) < 6 * 0.5 / np.sqrt(count)


@pytest.mark.parametrize("share", [0, (1 << 14) - 1])
def test_the_client_learns_no_carry(monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    """Its share of the carry out of every block is a coin, though its low bits and so the carries are far from it."""
    opened: list[Any] = []
    take = ClientCarry.take

    def watched(carry: ClientCarry, *of: Any) -> None:
        take(carry, *of)
        opened.append(carry.share)

    monkeypatch.setattr(ClientCarry, "take", watched)
    count = 1 << 14
    spec = TruncationSpec(count=count, ring_bits=59, shift=14)
    _pairs(spec, np.full(count, share, np.uint64), np.zeros(count, np.uint64))
    number = len(carry_blocks(spec.shift))
    assert len(opened) == number * count // 4096
    for block in range(number):
        shares = np.concatenate(opened[block * count // 4096 : (block + 1) * count // 4096])
        assert abs(shares.mean() - 0.5) < 6 * 0.5 / np.sqrt(count)


def test_two_parties_need_at_most_thirty_bytes_a_position() -> None:
    for shift in range(8, 15):
        assert offline_cost(TruncationSpec(count=1 << 16, ring_bits=59, shift=shift)).silent_bytes / (1 << 16) <= 30


@pytest.mark.parametrize("shift", [0, 59, 60])
def test_shifts_out_of_range_are_refused(shift: int) -> None:
    with pytest.raises(ConfigError, match=r"expected 1\.\.58 bits dropped"):
        TruncationSpec(count=1, ring_bits=59, shift=shift)


def test_messages_and_shares_of_a_wrong_size_are_refused() -> None:
    spec = TruncationSpec(count=8, ring_bits=59, shift=4)
    with pytest.raises(RemoteProtocolError, match="expected 59 bytes, found 58"):
        dealt.receive_masked(spec, SEED, memoryview(bytes(58)))
    with pytest.raises(RemoteProtocolError, match="expected 59 bytes, found 60"):
        dealt.receive_correction(spec, memoryview(bytes(60)))
    with pytest.raises(LocalProtocolError, match="expected shares of 8"):
        run_alone(pairs.offline_client(spec, np.zeros(7, np.uint64), np.zeros(8, np.uint64), None))  # type: ignore[arg-type]
