"""The ReLU ``table`` in its parts: table, coin of the sign, products of long strings, halves side by side."""

from typing import Any

import numpy as np
import pytest
from gates import prepare
from halves import run_alone, run_halves
from insecure_cots import insecure_parties

from pi_system.errors import InvariantError
from pi_system.kernels import ReluGate, aes_backends, use_aes_backend
from pi_system.kernels.ot import bit_products_receiver, bit_products_sender, cr_hash
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half, Receive, Send, in_turn, together
from pi_system.protocols.relu_table import TABLE
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg

SEED = b"0123456789abcdef"
DELTA = b"\1" + SEED[1:]


def spec_of(bits: int, count: int = 64, unseen: int = 2) -> GateSpec:
    return GateSpec(count=count, ring_bits=32, comparison_bits=bits + unseen + 3, shift=3, unseen_bits=unseen)


def tables(prepared: Any, entries: int) -> Any:
    """Both parties' tables, (2, entries, count) bits, and the server's offsets in units of 2^t."""
    found, offsets = [], np.empty(0)
    for key in (material["key"] for material in prepared.material):
        rows = key.reshape(prepared.spec.count // 32, -1)
        words = rows[:, : 4 * entries].copy().view(np.uint32)
        found.append((words[:, :, None] >> np.arange(32, dtype=np.uint32) & 1).swapaxes(0, 1).reshape(entries, -1))
        if not len(offsets):
            offsets = rows[:, 4 * entries :].copy().view(np.uint32).reshape(-1) >> prepared.spec.shift
    return np.stack(found), offsets


@pytest.mark.parametrize("bits", [2, 3, 8, 9, 10])
def test_both_tables_together_are_a_step_under_a_mask(bits: int) -> None:
    """One share of each entry is uniform; the sum is 1 up to some place, or 0 up to it."""
    spec, entries = spec_of(bits), 1 << (bits - 1)
    shares, offsets = tables(prepare(TABLE, spec, np.zeros(spec.count, np.int64), seed=SEED), entries)
    table = shares[0] ^ shares[1]
    steps = (table[1:] != table[:-1]).sum(axis=0)
    assert steps.max() <= 1
    assert len(set(table.argmin(axis=0)) | set(table.argmax(axis=0))) >= min(entries, 6)
    assert (offsets < 1 << (bits + spec.unseen_bits)).all()
    assert len(np.unique(offsets)) > min(len(offsets) // 2, 1 << bits)
    for share in shares:
        assert abs(share.mean() - 0.5) < 6 * 0.5 / np.sqrt(share.size)


def test_the_sign_is_a_linear_coin_inside_of_the_window() -> None:
    """1 with probability 1/2 + y / 2^(t+g), apart from rounding: E[output] = that times y / 2^t."""
    count = 6016
    spec = GateSpec(count=count, ring_bits=32, comparison_bits=12, shift=2, unseen_bits=3)
    width, ring = 1 << (spec.shift + spec.unseen_bits), Ring(32)
    for y in (-17, -9, -2, 0, 1, 6, 13, 16):
        prepared = prepare(TABLE, spec, np.full(count, y, np.int64))
        gates = prepared.gates()
        gates.server.load(0, prepared.y_server)
        reply = gates.client.reply(0, 0, count, gates.server.send(0, 0, count))
        gates.server.work(0, 0, count)
        gates.server.receive(0, 0, count, reply)
        found = ring.to_signed(ring.reduce(gates.server.result() + prepared.fresh_mask)).astype(float)
        # Sign and value see one rounded value v: E[v (1/2 + v / 2^g)], v a neighbour of y / 2^t.
        low, rest = y >> spec.shift, (y & 3) / 4
        kept = [v * min(max(0.5 + v / (width >> 2), 0), 1) for v in (low, low + 1)]
        expected = (1 - rest) * kept[0] + rest * kept[1]
        assert abs(found.mean() - expected) < 5 * max(found.std(), 0.01) / np.sqrt(count)


@pytest.mark.parametrize("width", [1, 2, 3, 8, 31, 127, 128])
def test_products_of_a_bit_with_a_string_of_any_length(width: int) -> None:
    """v ^ w = u beta, on every instruction set; v is the hash itself, bit by bit."""
    n, delta = 96, np.frombuffer(DELTA, np.uint64)
    q = np.frombuffer(Prg(SEED).bytes(16 * n), np.uint64).reshape(n, 2).copy()
    q[:, 0] &= ~np.uint64(1)
    choice = np.frombuffer(Prg(DELTA).bytes(n), np.uint8) & 1
    t = q ^ choice[:, None].astype(np.uint64) * delta
    for backend in aes_backends():
        use_aes_backend(backend)
        beta, v = bit_products_sender(q, DELTA, 7, width)
        u, w = bit_products_receiver(t, 7, width)
        assert beta.shape == v.shape == w.shape == (width, n // 8)
        assert (np.unpackbits(u, bitorder="little") == choice).all()
        assert (v ^ w == u & beta).all()
        hashed = np.unpackbits(cr_hash(q, 7).view(np.uint8), axis=1, bitorder="little")[:, :width]
        assert (np.unpackbits(v, axis=1, bitorder="little") == hashed.T).all()


@pytest.mark.parametrize("width", [0, 129])
def test_a_hash_has_128_bits(width: int) -> None:
    with pytest.raises(ValueError, match="width"):
        bit_products_receiver(np.zeros((32, 2), np.uint64), 0, width)


def test_stored_gates_are_not_dealt() -> None:
    gate = ReluGate(ring_bits=32, comparison_bits=24, shift=10, unseen_bits=6, stored=True)
    with pytest.raises(ValueError, match="stored"):
        gate.deal(32, SEED, SEED, SEED)


def test_gates_side_by_side_are_those_made_one_by_one() -> None:
    specs = [spec_of(bits, count) for bits, count in ((8, 40), (5, 70), (8, 33))]

    def material(rounds: Any) -> Any:
        """Both parties' of all gates, whose rounds are run by ``rounds``."""
        server, client = insecure_parties(SEED)

        def serve() -> Half[Any]:
            return (
                yield from rounds((yield from in_turn(TABLE.begin_server(spec, server, Prg(SEED)) for spec in specs)))
            )

        def ask() -> Half[Any]:
            shares = [Prg(SEED).ring(spec.count, 32) for spec in specs]
            pairs = zip(specs, shares, strict=True)
            begun = in_turn(TABLE.begin_client(spec, share, share, client, Prg(SEED)) for spec, share in pairs)
            return (yield from rounds((yield from begun)))

        ran = run_halves(serve(), ask())
        return [array.tobytes() for made in (*ran.server, *ran.client) for array in made.values()]

    assert material(together) == material(in_turn)


def test_halves_side_by_side_send_and_receive_in_turn() -> None:
    def silent() -> Half[None]:
        yield Receive(1)

    def talkative() -> Half[None]:
        yield Send(b"a")
        yield Send(b"b")

    for half in (silent, talkative):
        with pytest.raises(InvariantError, match="halves side by side: expected"):
            run_alone(together([half()]), b"x")
