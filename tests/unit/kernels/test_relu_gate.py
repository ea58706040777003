"""The ReLU gate end to end: right results, the same bytes on every path, chunks and threads, and typed errors."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from pi_system.errors import ConfigError
from pi_system.kernels import RELU_BLOCK, ReluGate, aes_backends, packed_bytes, unpack_bits, use_aes_backend
from pi_system.kernels.cores import using_threads
from pi_system.ring.prg import Prg

SERVER_SEED, CLIENT_SEED, SALT = b"server seed 16 b", b"client seed 16 b", b"public salt 16 b"


@pytest.fixture(autouse=True)
def _fastest_backend_afterwards() -> Iterator[None]:
    yield
    use_aes_backend("auto")


@dataclass(frozen=True)
class Run:
    key: bytes
    server: bytes
    message: bytes
    reply: bytes
    output: npt.NDArray[np.uint64]  # ReLU(x) >> f, reconstructed


def _inputs(comparison_bits: int, count: int, shift: int = 0) -> npt.NDArray[np.int64]:
    """Random signed values of the allowed range, the extremes first."""
    top = (1 << (comparison_bits - 1)) - 1 - (1 << shift if shift else 0)  # shift: of t + g bits
    raw = Prg(bytes([comparison_bits] * 16)).ring(count, 64).astype(np.int64) >> (64 - comparison_bits)
    x: npt.NDArray[np.int64] = np.clip(raw, -top, top)
    extremes = [0, top, -top, min(1, top), max(-1, -top), top // 2, -(top // 2)][:count]
    x[: len(extremes)] = extremes
    return x


def _run(gate: ReluGate, x: npt.NDArray[np.int64], step: int | None = None) -> Run:
    """Play dealer, server and client, `step` instances at a time."""
    n, ring = x.size, np.uint64(2**gate.ring_bits - 1)
    prg = Prg(b"shares of inputs")
    y1, r_next = prg.ring(n, gate.ring_bits), prg.ring(n, gate.ring_bits)
    y0 = ((x.astype(np.uint64) - y1.astype(np.uint64)) & ring).astype(gate.ring_dtype)
    key, server = gate.deal(n, SERVER_SEED, CLIENT_SEED, SALT)
    masks = gate.masks(n, SERVER_SEED, SALT).astype(np.uint64) + gate.masks(n, CLIENT_SEED, SALT)
    masked = ((y1 + masks) & np.uint64(2**gate.comparison_bits - 1)).astype(gate.mask_dtype)
    out = np.empty(n, gate.ring_dtype)
    messages, replies = [], []
    for first in range(0, n, step or n):
        part = slice(first, first + (step or n))
        message, state = gate.server_send(key, SERVER_SEED, SALT, y0[part], masked[part], first=first)
        theirs = key[: gate.key_bytes(n, 1)]  # of a table the client has nothing but its seed
        reply = gate.client_reply(theirs, CLIENT_SEED, SALT, message.tobytes(), r_next[part], first=first)
        gate.server_finish(server, state, reply.tobytes(), out[part], first=first)
        messages.append(message.tobytes())
        replies.append(reply.tobytes())
    output = (out.astype(np.uint64) + r_next) & ring
    return Run(key.tobytes(), server.tobytes(), b"".join(messages), b"".join(replies), output)


def _gate(ring_bits: int, comparison_bits: int, shift: int, unseen_bits: int = 0) -> ReluGate:
    return ReluGate(ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift, unseen_bits=unseen_bits)


def _rounded_up(gate: ReluGate, x: npt.NDArray[np.int64], run: Run) -> npt.NDArray[np.bool_]:
    """Where the output is max(0, floor + 1) of x / 2^t instead of max(0, floor): it must be one of them, and outside
    of the window right in its sign."""
    floor, modulus = x >> gate.shift, np.uint64(2**gate.ring_bits - 1)
    exact = x & ((1 << gate.shift) - 1) == 0
    half = 1 << (gate.shift + gate.unseen_bits - 1) if gate.unseen_bits else 0
    may_be_zero, may_be_kept = x < max(half, 1), x >= -half
    down, up = (value.astype(np.uint64) & modulus for value in (floor, floor + 1))
    kept = may_be_kept & (run.output == down)
    kept_up: npt.NDArray[np.bool_] = may_be_kept & ~exact & (run.output == up)
    assert (kept | kept_up | (may_be_zero & (run.output == 0))).all(), gate
    return kept_up


@pytest.mark.parametrize("ring_bits", [16, 24, 32, 33, 48, 59, 64])
def test_output_is_relu_rounded_to_a_neighbour(ring_bits: int) -> None:
    widths = [k for k in [*range(2, 41), 57, 58, 63, 64] if k <= ring_bits]
    for comparison_bits in widths:
        for shift in sorted({0, min(1, comparison_bits - 2), comparison_bits // 2 - 1, comparison_bits - 2}):
            gate = _gate(ring_bits, comparison_bits, shift)
            x = _inputs(comparison_bits, 70, shift)
            _rounded_up(gate, x, _run(gate, x))


@pytest.mark.parametrize(("ring_bits", "comparison_bits"), [(32, 8), (32, 24), (32, 32), (59, 28), (64, 41), (64, 64)])
def test_fewer_bits_are_right_outside_of_their_window(ring_bits: int, comparison_bits: int) -> None:
    for shift in {0, 1, comparison_bits // 2 - 1}:
        for unseen in {1, 2, comparison_bits // 4, comparison_bits - shift - 2} - {0}:
            if unseen <= comparison_bits - shift - 2:
                gate = _gate(ring_bits, comparison_bits, shift, unseen)
                x = _inputs(comparison_bits, 330, shift + unseen)
                _rounded_up(gate, x, _run(gate, x))


@pytest.mark.parametrize(("ring_bits", "shift", "unseen"), [(32, 2, 3), (32, 0, 4), (64, 3, 1)])
def test_the_sign_is_a_linear_coin_inside_of_the_window(ring_bits: int, shift: int, unseen: int) -> None:
    """1 with probability 1/2 + x / 2^(t+g), apart from rounding: E[output] = that times x / 2^t."""
    gate, width, count = _gate(ring_bits, 9 + shift, shift, unseen), 1 << (shift + unseen), 4000
    for x in range(-width // 2 - 3, width // 2 + 4):
        found = _run(gate, np.full(count, x, np.int64)).output
        signed = (found << np.uint64(64 - ring_bits)).astype(np.int64) >> (64 - ring_bits)
        chance = min(1.0, max(0.0, 0.5 + x / width))
        spread = (abs(x / (1 << shift)) + 1) / np.sqrt(count)
        assert abs(float(signed.mean()) - chance * x / (1 << shift)) < 5 * spread * (0 < chance < 1) + 3 / np.sqrt(
            count
        )
        if x % (1 << shift) == 0 and x:
            assert abs(float((signed != 0).mean()) - chance) < 5 * 0.5 / np.sqrt(count)


def test_the_coin_of_the_sign_is_in_nothing_that_is_opened() -> None:
    """With one mask for both, [X mod 2^g >= 2^(g-1)] would be the sign itself in all but a few cases."""
    gate, count = _gate(32, 24, 8, 6), 20_000
    run = _run(gate, np.full(count, 3 << 8, np.int64))
    kept = run.output != 0
    assert abs(float(kept.mean()) - (0.5 + 3 / 64)) < 0.02
    opened, compared = np.empty(count, np.uint32), np.empty(count, np.uint32)
    message = np.frombuffer(run.message, np.uint8)
    unpack_bits(message[: packed_bytes(count, 16)], 16, opened)
    unpack_bits(message[packed_bytes(count, 16) :][: packed_bytes(count, 10)], 10, compared)
    for bit in range(16):
        assert abs(np.corrcoef(kept, opened >> bit & 1)[0, 1]) < 0.04, bit
    for bit in range(10):
        assert abs(np.corrcoef(kept, compared >> bit & 1)[0, 1]) < 0.04, bit
        assert abs(np.corrcoef(opened >> (bit + 6) & 1, compared >> bit & 1)[0, 1]) < 0.04, bit


def test_every_small_input_against_every_mask_pattern() -> None:
    gate = _gate(32, 6, 2)
    x = np.repeat(np.arange(-27, 28, dtype=np.int64), 130)
    up = _rounded_up(gate, x, _run(gate, x))
    for rest in range(4):  # up with probability rest / 4
        share = up[(x > 0) & (x % 4 == rest)].mean()
        assert abs(share - rest / 4) < 0.08


def test_rounding_is_unbiased() -> None:
    gate = _gate(64, 24, 8)
    x = np.abs(_inputs(24, 20_000, 8))
    error = _run(gate, x).output.astype(np.int64) - x / 256
    assert abs(float(error.mean())) < 5 * 0.41 / np.sqrt(20_000)
    assert 0.38 < float(error.std()) < 0.44  # sqrt(1/6), of a uniform fraction's coin


@pytest.mark.parametrize("low", [0, 37, 200])
def test_the_client_never_sees_the_low_bits(low: int) -> None:
    """Its message depends on x + r' >> t alone: the low bits of what the server holds change nothing."""
    gate = _gate(32, 24, 8)
    key, _ = gate.deal(64, SERVER_SEED, CLIENT_SEED, SALT)
    masked = np.arange(64, dtype=np.uint32) << np.uint32(8)
    zeros = np.zeros(64, np.uint32)
    plain, _ = gate.server_send(key, SERVER_SEED, SALT, zeros, masked)
    other, _ = gate.server_send(key, SERVER_SEED, SALT, zeros, masked + np.uint32(low))
    assert plain.tobytes() == other.tobytes()


@pytest.mark.parametrize("unseen", [0, 1, 5])
@pytest.mark.parametrize(("ring_bits", "comparison_bits"), [(32, 24), (64, 17), (59, 41), (20, 9), (33, 2), (64, 64)])
def test_all_backends_give_the_same_bytes(ring_bits: int, comparison_bits: int, unseen: int) -> None:
    shift = comparison_bits // 3
    gate = _gate(ring_bits, comparison_bits, shift, min(unseen, comparison_bits - shift - 2))
    x = _inputs(comparison_bits, 45)
    digests = set()
    for name in aes_backends():
        use_aes_backend(name)
        run = _run(gate, x)
        whole = run.key + run.server + run.message + run.reply + run.output.tobytes()
        digests.add(hashlib.sha256(whole).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("unseen", [0, 4])
@pytest.mark.parametrize(("ring_bits", "comparison_bits"), [(32, 24), (64, 17), (59, 41)])
def test_chunks_and_threads_give_the_same_output(ring_bits: int, comparison_bits: int, unseen: int) -> None:
    gate = _gate(ring_bits, comparison_bits, 5, unseen)
    x = _inputs(comparison_bits, 1000)
    whole = _run(gate, x)
    for step, threads in [(RELU_BLOCK, 1), (320, 1), (640, 3), (1000, 4)]:
        with using_threads(threads):
            parts = _run(gate, x, step)
        assert parts.key == whole.key
        assert parts.server == whole.server
        assert (parts.output == whole.output).all()


def test_sizes_are_the_declared_ones() -> None:
    gate = _gate(59, 23, 4)
    x = _inputs(23, 77)
    run = _run(gate, x)
    flags = 10  # ceil(77 / 8) bytes of opened bits
    assert len(run.message) == (77 * 19 + 7) // 8 + flags
    assert len(run.reply) == (77 * 59 + 7) // 8 + flags
    assert len(run.key) == gate.key_bytes(77)
    assert len(run.server) == gate.server_bytes(77)


def test_fewer_bits_are_sent_beside_the_value() -> None:
    gate = _gate(59, 23, 4, 11)
    run = _run(gate, _inputs(23, 77, 15))
    assert len(run.message) == (77 * 19 + 7) // 8 + (77 * 8 + 7) // 8 + 10
    assert len(run.reply) == (77 * 59 + 7) // 8 + 10


def test_eight_bits_are_a_table_at_the_server() -> None:
    for bits in range(2, 9):
        gate = _gate(32, 28, 14, 14 - bits)
        assert gate.key_bytes(32) == 32 * 2 ** (bits - 1) // 8
        assert gate.key_bytes(32, 1) == 0
    assert _gate(32, 28, 14, 5).key_bytes(32, 1) == _gate(32, 28, 14, 5).key_bytes(32) == 32 * 2 * 16  # a leaf table


def test_the_key_is_that_of_the_bits_compared() -> None:
    assert _gate(32, 28, 14).key_bytes(32) == 32 * (5 + 2) * 16  # 14 bits: five levels and a leaf table
    assert _gate(32, 14, 0).key_bytes(32) == _gate(32, 28, 14).key_bytes(32)


@pytest.mark.parametrize("unseen", [0, 3, 10])
@pytest.mark.parametrize("value", [5, -5])
def test_what_the_parties_open_is_uniform(value: int, unseen: int) -> None:
    gate = _gate(32, 20, 4, unseen)
    n = 16_000
    run = _run(gate, np.full(n, value, np.int64))
    for packed in (run.message, run.reply, run.key):  # masked values and bits; output share and bits
        ones = np.unpackbits(np.frombuffer(packed, np.uint8)).mean()
        assert abs(float(ones) - 0.5) < 0.005
    e0, e1 = (np.unpackbits(np.frombuffer(p[-n // 8 :], np.uint8)) for p in (run.message, run.reply))
    assert abs(float((e0 ^ e1).mean()) - 0.5) < 0.02


def test_another_salt_or_seed_changes_everything() -> None:
    gate = _gate(64, 16, 3)
    key, server = gate.deal(64, SERVER_SEED, CLIENT_SEED, SALT)
    for seed0, seed1, salt in [
        (SALT, CLIENT_SEED, SALT),
        (SERVER_SEED, SALT, SALT),
        (SERVER_SEED, CLIENT_SEED, bytes(16)),
    ]:
        other_key, other_server = gate.deal(64, seed0, seed1, salt)
        assert float((key == other_key).mean()) < 0.02
        # The dealt shares are hidden by the client's stream: another one of it hides the differences too.
        assert float((server == other_server).mean()) < (0.02 if seed0 == SERVER_SEED else 1)


def test_messages_of_a_wrong_length_are_refused() -> None:
    gate = _gate(32, 20, 4)
    key, server = gate.deal(40, SERVER_SEED, CLIENT_SEED, SALT)
    zeros = np.zeros(40, np.uint32)
    message, state = gate.server_send(key, SERVER_SEED, SALT, zeros, zeros)
    reply = gate.client_reply(key, CLIENT_SEED, SALT, message, zeros)
    with pytest.raises(ValueError, match=f"expected {message.size}, found {message.size - 1}"):
        gate.client_reply(key, CLIENT_SEED, SALT, message[:-1], zeros)
    with pytest.raises(ValueError, match=f"found {reply.size + 1}"):
        gate.server_finish(server, state, reply.tobytes() + b"\0", np.empty(40, np.uint32))


def test_local_mistakes_are_refused() -> None:
    gate = _gate(32, 20, 4)
    key, _ = gate.deal(64, SERVER_SEED, CLIENT_SEED, SALT)
    zeros = np.zeros(64, np.uint32)
    with pytest.raises(ValueError, match="multiple of 32"):
        gate.server_send(key, SERVER_SEED, SALT, zeros[:8], zeros[:8], first=8)
    with pytest.raises(ValueError, match="whole blocks"):
        gate.server_send(key, SERVER_SEED, SALT, zeros, zeros, first=32)
    with pytest.raises(ValueError, match="masked: expected 64, found 63"):
        gate.server_send(key, SERVER_SEED, SALT, zeros, zeros[:63])
    with pytest.raises(ValueError, match="share: element bits: expected 32, found 64"):
        gate.server_send(key, SERVER_SEED, SALT, zeros.astype(np.uint64), zeros)
    with pytest.raises(ValueError, match="seed0 bytes: expected 16, found 15"):
        gate.server_send(key, SERVER_SEED[1:], SALT, zeros, zeros)
    with pytest.raises(TypeError):
        gate.server_send(key, SERVER_SEED, SALT, zeros[::2], zeros[::2])


@pytest.mark.parametrize(
    ("ring_bits", "comparison_bits", "shift", "unseen"),
    [(65, 20, 4, 0), (32, 33, 4, 0), (32, 1, 0, 0), (32, 20, 19, 0), (32, 20, -1, 0), (32, 20, 4, 15), (32, 20, 4, -1)],
)
def test_parameters_out_of_range_are_refused(ring_bits: int, comparison_bits: int, shift: int, unseen: int) -> None:
    with pytest.raises(ConfigError, match="expected"):
        _gate(ring_bits, comparison_bits, shift, unseen)
