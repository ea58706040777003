"""The carry of two parties' low bits: right for all numbers, and neither party's view depends on the other's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insecure_cots import insecure_parties

from pi_system.protocols.ot.strings import unpack_ring
from pi_system.protocols.truncation.carry import ClientCarry, ServerCarry, carry_blocks
from pi_system.ring.prg import Prg, fresh_seed

SIZE = 1 << 14


def _cots(end: Any, count: int) -> Any:
    try:
        next(end.extend(count))
    except StopIteration as done:
        return done.value
    raise AssertionError("these COTs come without a message")


def _carry(bits: int, a: Any, rho: Any) -> Any:
    """Both parties' shares of the carry out of every block, and all that the client sends, planes."""
    blocks, (server_end, client_end) = carry_blocks(bits), insecure_parties(fresh_seed())
    count = len(a) * sum(block.index_bits for block in blocks)
    server = ServerCarry(bits, _cots(server_end.sender, count), server_end.sender.delta, len(a))
    client = ClientCarry(bits, _cots(client_end.receiver, count), a)
    shares = list(Prg(fresh_seed()).ring((len(blocks), len(a)), 1).astype(np.uint8))
    planes = [client.choices()]
    server.start(planes[0], rho, shares)
    found = []
    for number, block in enumerate(blocks):
        if number:
            planes.append(client.choice(number).reshape(1, -1))
        table = server.table(number, planes[-1].reshape(-1) if number else None)
        client.take(number, unpack_ring(table, len(a), block.table_bits))
        found.append(client.share)
    return shares, found, np.concatenate(planes)


@given(bits=st.integers(1, 63), seed=st.binary(min_size=16, max_size=16))
def test_every_block_gives_shares_of_the_carry_out_of_all_bits_below_it(bits: int, seed: bytes) -> None:
    a, rho = (Prg(seed).child(name).ring(32, bits).astype(np.uint64) for name in ("a", "rho"))
    a[:3], rho[:3] = [0, (1 << bits) - 1, 1], [0, 1, (1 << bits) - 1]
    shares, found, _ = _carry(bits, a, rho)
    for block, at_server, at_client in zip(carry_blocks(bits), shares, found, strict=True):
        top = block.at + block.bits
        low = [(int(x) % (1 << top) + int(y) % (1 << top)) >> top for x, y in zip(a, rho, strict=True)]
        assert ((at_server ^ at_client) == low).all()


def test_bits_above_the_blocks_do_not_count() -> None:
    a, rho = (Prg(fresh_seed()).ring(64, 64) for _ in range(2))
    (*_, at_server), (*_, at_client), _ = _carry(12, a, rho)
    assert ((at_server ^ at_client) == (a % 4096 + rho % 4096) // 4096).all()


def test_blocks_cover_all_bits_once_with_indices_of_at_most_five() -> None:
    for bits in range(1, 64):
        blocks = carry_blocks(bits)
        assert [block.at for block in blocks] == list(np.cumsum([0, *(block.bits for block in blocks[:-1])]))
        assert blocks[-1].at + blocks[-1].bits == bits
        assert all(1 <= block.index_bits <= 5 for block in blocks)


@pytest.mark.parametrize("value", [0, (1 << 14) - 1])
@pytest.mark.parametrize("other", [0, (1 << 14) - 1])
def test_what_a_party_sees_is_uniform_whatever_both_numbers_are(value: int, other: int) -> None:
    """The client sees its shares, the server the choices: coins, and independent of one another."""
    _, found, planes = _carry(14, np.full(SIZE, value, np.uint64), np.full(SIZE, other, np.uint64))
    choices = [np.unpackbits(plane, bitorder="little") for plane in planes]
    for coins in (found, choices):
        for first, one in enumerate(coins):
            assert abs(one.mean() - 0.5) < 6 * 0.5 / np.sqrt(SIZE)
            for two in coins[:first]:
                assert abs((one ^ two).mean() - 0.5) < 6 * 0.5 / np.sqrt(SIZE)


def test_a_bit_takes_at_most_four_thirds_of_a_cot() -> None:
    for bits in range(1, 64):
        assert sum(block.index_bits for block in carry_blocks(bits)) <= 4 * bits / 3
