"""The ReLU gate end to end: right results, the same bytes on every path, chunks and threads, and typed errors."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from pi_system.errors import ConfigError
from pi_system.kernels import RELU_BLOCK, ReluGate, aes_backends, use_aes_backend
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


def _inputs(compare_bits: int, count: int, shift: int = 0) -> npt.NDArray[np.int64]:
    """Random signed values of the allowed range, the extremes first."""
    top = (1 << (compare_bits - 1)) - 1 - (1 << shift if shift else 0)
    raw = Prg(bytes([compare_bits] * 16)).ring(count, 64).astype(np.int64) >> (64 - compare_bits)
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
    masked = ((y1 + masks) & np.uint64(2**gate.compare_bits - 1)).astype(gate.mask_dtype)
    out = np.empty(n, gate.ring_dtype)
    messages, replies = [], []
    for first in range(0, n, step or n):
        part = slice(first, first + (step or n))
        message, state = gate.server_send(key, SERVER_SEED, SALT, y0[part], masked[part], first=first)
        reply = gate.client_reply(key, CLIENT_SEED, SALT, message.tobytes(), r_next[part], first=first)
        gate.server_finish(server, state, reply.tobytes(), out[part], first=first)
        messages.append(message.tobytes())
        replies.append(reply.tobytes())
    output = (out.astype(np.uint64) + r_next) & ring
    return Run(key.tobytes(), server.tobytes(), b"".join(messages), b"".join(replies), output)


def _gate(ring_bits: int, compare_bits: int, shift: int) -> ReluGate:
    return ReluGate(ring_bits=ring_bits, compare_bits=compare_bits, shift=shift)


def _rounded_up(gate: ReluGate, x: npt.NDArray[np.int64], run: Run) -> npt.NDArray[np.bool_]:
    """Where the output is max(0, floor + 1) of x / 2^t instead of max(0, floor): it must be one of them."""
    floor, modulus = x >> gate.shift, np.uint64(2**gate.ring_bits - 1)
    down, up = (np.maximum(value, 0).astype(np.uint64) & modulus for value in (floor, floor + 1))
    assert ((run.output == down) | (run.output == up)).all(), gate
    exact = x & ((1 << gate.shift) - 1) == 0
    assert (run.output == down)[exact].all(), gate
    rounded: npt.NDArray[np.bool_] = run.output != down
    return rounded


@pytest.mark.parametrize("ring_bits", [16, 24, 32, 33, 48, 59, 64])
def test_output_is_relu_rounded_to_a_neighbour(ring_bits: int) -> None:
    widths = [k for k in [*range(2, 41), 57, 58, 63, 64] if k <= ring_bits]
    for compare_bits in widths:
        for shift in sorted({0, min(1, compare_bits - 2), compare_bits // 2 - 1, compare_bits - 2}):
            gate = _gate(ring_bits, compare_bits, shift)
            x = _inputs(compare_bits, 70, shift)
            _rounded_up(gate, x, _run(gate, x))


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


@pytest.mark.parametrize(("ring_bits", "compare_bits"), [(32, 24), (64, 17), (59, 41), (20, 9), (33, 2), (64, 64)])
def test_all_backends_give_the_same_bytes(ring_bits: int, compare_bits: int) -> None:
    gate = _gate(ring_bits, compare_bits, compare_bits // 3)
    x = _inputs(compare_bits, 45)
    digests = set()
    for name in aes_backends():
        use_aes_backend(name)
        run = _run(gate, x)
        whole = run.key + run.server + run.message + run.reply + run.output.tobytes()
        digests.add(hashlib.sha256(whole).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize(("ring_bits", "compare_bits"), [(32, 24), (64, 17), (59, 41)])
def test_chunks_and_threads_give_the_same_output(ring_bits: int, compare_bits: int) -> None:
    gate = _gate(ring_bits, compare_bits, 5)
    x = _inputs(compare_bits, 1000)
    whole = _run(gate, x)
    for step, threads in [(RELU_BLOCK, 1), (320, 1), (640, 3), (1000, 4)]:
        parts = _run(replace(gate, threads=threads), x, step)
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


def test_the_key_is_that_of_the_bits_compared() -> None:
    assert _gate(32, 28, 14).key_bytes(32) == 32 * (5 + 2) * 16  # 14 bits: five levels and a leaf table
    assert _gate(32, 14, 0).key_bytes(32) == _gate(32, 28, 14).key_bytes(32)


@pytest.mark.parametrize("value", [5, -5])
def test_what_the_parties_open_is_uniform(value: int) -> None:
    gate = _gate(32, 20, 4)
    n = 16_000
    run = _run(gate, np.full(n, value, np.int64))
    for packed in (run.message, run.reply):  # masked value and bits; output share and bits
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
    ("ring_bits", "compare_bits", "shift"), [(65, 20, 4), (32, 33, 4), (32, 1, 0), (32, 20, 19), (32, 20, -1)]
)
def test_parameters_out_of_range_are_refused(ring_bits: int, compare_bits: int, shift: int) -> None:
    with pytest.raises(ConfigError, match="expected"):
        _gate(ring_bits, compare_bits, shift)
