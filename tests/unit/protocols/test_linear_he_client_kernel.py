"""The client's kernels against whole-number arithmetic, on every path: key, encryption, decryption, expanded seeds."""

import hashlib
import math

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_system.kernels import _native, aes_backends, use_aes_backend
from pi_system.kernels.he import RlweContext, expand_seed, rlwe_paths
from pi_system.kernels.packing import Words
from pi_system.protocols.linear_he.primes import make_primes
from pi_system.ring.prg import Prg

DEGREE = 64
POSITIONS = np.arange(DEGREE, dtype=np.int32)[::-3].copy()
LARGEST, LEAST = (1 << 21) - 1, ((1 << 21) - 1) << 21
"""Words of the largest error and of the least."""


def second_half(prg: Prg, primes: tuple[int, ...], degree: int = DEGREE) -> Words:
    out = np.empty((len(primes), degree), np.uint64)
    expand_seed(np.frombuffer(prg.bytes(64), np.uint8), primes, out)
    return out


def ternary(words: Words) -> list[int]:
    return [(3 * int(word) >> 64) - 1 for word in words]


def noise(words: Words) -> list[int]:
    return [(int(w) & LARGEST).bit_count() - (int(w) & LEAST).bit_count() for w in words]


def negacyclic(a: list[int], b: list[int]) -> list[int]:
    out = [0] * DEGREE
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[(i + j) % DEGREE] += x * y if i + j < DEGREE else -x * y
    return out


Case = tuple[tuple[int, ...], int, int, Prg]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Primes, how many of them are kept, how many bits a message has, randomness."""
    primes = make_primes(DEGREE, draw(st.lists(st.integers(20, 51), min_size=1, max_size=5)))
    kept = draw(st.integers(1, len(primes)))
    ring_bits = draw(st.integers(1, min(64, math.prod(primes[:kept]).bit_length() - 9)))
    return primes, kept, ring_bits, Prg(draw(st.binary(min_size=16, max_size=16)))


def scaled(message: Words, modulus: int, ring_bits: int) -> list[int]:
    """round(modulus / 2^l message)."""
    return [(2 * modulus * int(m) + (1 << ring_bits)) >> (ring_bits + 1) for m in message]


def integers(prg: Prg, largest: int) -> list[int]:
    """Of at most that size, the extremes among them."""
    drawn = (int.from_bytes(prg.bytes(40), "little") % (2 * largest + 1) - largest for _ in range(DEGREE - 4))
    return [*drawn, largest, -largest, 0, largest]


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_ciphertext_is_what_the_definition_says(case: Case) -> None:
    primes, _, ring_bits, prg = case
    secret, errors = prg.ring(DEGREE, 64), prg.ring(DEGREE, 64)
    errors[:3] = 0, LARGEST, LEAST
    message = prg.ring(DEGREE, ring_bits).astype(np.uint64)
    message[:2] = 0, (1 << ring_bits) - 1
    second = second_half(prg, primes)
    scaled_message = scaled(message, math.prod(primes), ring_bits)
    for path in rlwe_paths():
        context = RlweContext(DEGREE, primes, path)
        first = second.copy()
        context.encrypt(context.secret_key(secret), errors, message, ring_bits, first)
        for row, half, prime in zip(first, second, primes, strict=True):
            hidden = negacyclic([int(a) for a in half], ternary(secret))
            parts = zip(scaled_message, noise(errors), hidden, strict=True)
            assert row.tolist() == [(m + e - h) % prime for m, e, h in parts]


@settings(max_examples=40, deadline=None)
@given(cases())
def test_decryption_rounds_to_the_nearest_message(case: Case) -> None:
    """Also with errors as large as parameters may let them be, and with more primes in the key than in the answer."""
    primes, kept, ring_bits, prg = case
    modulus = math.prod(primes[:kept])
    errors = integers(prg, (modulus * ((1 << 11) - 1) >> (ring_bits + 12)) - 1)
    message, secret = prg.ring(DEGREE, ring_bits).astype(np.uint64), prg.ring(DEGREE, 64)
    message[:2] = 0, (1 << ring_bits) - 1
    second = second_half(prg, primes[:kept])
    first = np.empty_like(second)
    for row, half, prime in zip(first, second, primes, strict=False):
        hidden = negacyclic([int(a) for a in half], ternary(secret))
        parts = zip(scaled(message, modulus, ring_bits), errors, hidden, strict=True)
        row[:] = [(m + e - h) % prime for m, e, h in parts]
    for path in rlwe_paths():
        context = RlweContext(DEGREE, primes, path)
        read = np.ascontiguousarray(first[:, POSITIONS])
        found = context.decrypt(context.secret_key(secret), read, second, POSITIONS, ring_bits)
        np.testing.assert_array_equal(found, message[POSITIONS])


@pytest.mark.parametrize("degree", [4096, 8192, 16384])
def test_all_paths_give_the_same_ciphertexts_and_messages(degree: int) -> None:
    primes, prg = make_primes(degree, [51, 50, 28, 33]), Prg(bytes(16))
    secret, errors, second = prg.ring(degree, 64), prg.ring(degree, 64), second_half(prg, primes, degree)
    message, positions, found = prg.ring(degree, 59), np.arange(degree, dtype=np.int32), []
    for path in rlwe_paths():
        context = RlweContext(degree, primes, path)
        key = context.secret_key(secret)
        first = second.copy()
        context.encrypt(key, errors, message, 59, first)
        np.testing.assert_array_equal(context.decrypt(key, first, second, positions, 59), message)
        found.append(first.tobytes())
    assert len(set(found)) == 1


def uniform(words: bytes, primes: tuple[int, ...], degree: int) -> list[list[int]]:
    """The residues that a keystream stands for: too large ones are replaced by the words behind."""
    stream = [int.from_bytes(words[i : i + 8], "little") for i in range(0, len(words), 8)]
    spare, out = iter(stream[degree * len(primes) :]), []
    for i, prime in enumerate(primes):
        mask, row = (1 << prime.bit_length()) - 1, []
        for word in stream[i * degree : (i + 1) * degree]:
            value = word & mask
            while value >= prime:
                value = next(spare) & mask
            row.append(value)
        out.append(row)
    return out


@pytest.mark.parametrize("aes", aes_backends())
@pytest.mark.parametrize("start", [None, 2**64 - 70, 2**128 - 70])
def test_an_expanded_seed_is_aes_in_counter_mode(aes: str, start: int | None) -> None:
    """Small primes far below their power of two, so that many words are drawn again."""
    primes, seed = (769, 257, *make_primes(DEGREE, [51, 20])), np.arange(64, dtype=np.uint8)
    key = hashlib.blake2b(seed.tobytes(), digest_size=32, person=b"pi-he-second").digest()
    key = key if start is None else key[:16] + start.to_bytes(16, "big")
    stream = Cipher(algorithms.AES(key[:16]), modes.CTR(key[16:])).encryptor().update(bytes(16 * 4000))
    found = np.empty((len(primes), DEGREE), np.uint64)
    use_aes_backend(aes)
    try:
        if start is None:
            expand_seed(seed, primes, found)
        else:
            _native.rlwe_expand(key, list(primes), found)
    finally:
        use_aes_backend("auto")
    assert found.tolist() == uniform(stream, primes, DEGREE)


def test_bad_arguments_are_refused() -> None:
    context = RlweContext(DEGREE, make_primes(DEGREE, [40, 30]))
    row = np.zeros(DEGREE, np.uint64)
    both = np.zeros((2, DEGREE), np.uint64)
    with pytest.raises(ValueError, match="contiguous"):
        context.secret_key(row[1:])
    with pytest.raises(ValueError, match="key bytes"):
        _native.rlwe_expand(bytes(16), [257], np.empty((1, DEGREE), np.uint64))
    for ring_bits in (0, 65):
        with pytest.raises(ValueError, match="ring_bits"):
            context.encrypt(both, row, row, ring_bits, both)
        with pytest.raises(ValueError, match="ring_bits"):
            context.decrypt(both, both[:, :3].copy(), both, np.arange(3, dtype=np.int32), ring_bits)
    for key, words, message in ((both[:1], row, row), (both, row[1:], row), (both, row, row[1:])):
        with pytest.raises(ValueError, match="contiguous"):
            context.encrypt(key, words, message, 20, both)
    with pytest.raises(ValueError, match="contiguous"):
        context.encrypt(both, row, row, 20, both[:1])
    with pytest.raises(ValueError, match="positions"):
        context.decrypt(both, both[:, :1].copy(), both, np.array([DEGREE], np.int32), 20)
    with pytest.raises(ValueError, match="contiguous"):
        context.decrypt(both, both[:, :2].copy(), both, np.arange(3, dtype=np.int32), 20)
    three = np.zeros((3, DEGREE), np.uint64)
    with pytest.raises(ValueError, match="kept"):
        context.decrypt(both, three, three, np.arange(DEGREE, dtype=np.int32), 20)
