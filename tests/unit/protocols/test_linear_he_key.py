"""The client's encryption held against SEAL's, beyond its rings against exact integers: results, noise, secrecy."""

import numpy as np
import pytest
from exact_rlwe import Exact, oracle
from seal import Seal, encrypted, secret_of

from pi_system.errors import ConfigError
from pi_system.kernels.packing import Words
from pi_system.protocols.linear_he.key import SecretKey
from pi_system.protocols.linear_he.params import MAX_RING_BITS, MIN_RING_BITS, HeParams, derive_params
from pi_system.protocols.linear_he.primes import make_primes
from pi_system.ring.prg import Prg, fresh_seed

RESNET18 = 600_000
LARGE = derive_params(45, 18, RESNET18)
FLIPS = 42


def error_of(key: SecretKey, params: HeParams, ciphertext: Words, message: Words) -> np.ndarray:
    """What a ciphertext has beyond one of the same second half with error zero."""
    return centred(ciphertext[0, 0], without_error(key, params, ciphertext[1], message)[0], params.primes[0])


def without_error(key: SecretKey, params: HeParams, second: Words, message: Words) -> Words:
    half = second.copy()
    key._context.encrypt(key._secret, np.zeros_like(message), message, params.ring_bits, half)
    return half


def centred(one: Words, other: Words, prime: int) -> np.ndarray:
    found = (one.astype(np.int64) - other.astype(np.int64)) % prime
    return np.where(found > prime // 2, found - prime, found)


def secret_in(key: SecretKey, params: HeParams) -> np.ndarray:
    """Its negative is the first half where the second is 1."""
    one = np.zeros((len(params.primes), params.degree), np.uint64)
    one[:, 0] = 1
    negative = without_error(key, params, one, np.zeros(params.degree, np.uint64))[0]
    return centred(np.zeros_like(negative), negative, params.primes[0])


def assert_binomial(errors: np.ndarray) -> None:
    """21 coin flips less 21 others: range, moments, no correlation of neighbours."""
    assert np.abs(errors).max() <= FLIPS // 2
    assert abs(errors.mean()) < 6 * np.sqrt(10.5 / errors.size)
    assert abs(errors.var() - 10.5) < 6 * 10.5 * np.sqrt(2 / errors.size)
    assert abs((errors[1:] * errors[:-1]).mean()) < 6 * 10.5 / np.sqrt(errors.size)


@pytest.mark.parametrize("ring_bits", range(MIN_RING_BITS, MAX_RING_BITS + 1))
def test_oracles_read_our_ciphertexts_and_we_read_theirs(ring_bits: int) -> None:
    """Every ring, with norms that lead to every degree; both ciphertexts have the same room for noise."""
    params, prg_seed = derive_params(ring_bits, 6 + 7 * ring_bits % 21, RESNET18), fresh_seed()
    key = SecretKey(params, Prg(prg_seed))
    other = oracle(params.degree, params.primes, ring_bits, secret_of(params, Prg(prg_seed)))
    message = Prg(fresh_seed()).ring(params.degree, ring_bits).astype(np.uint64)
    message[:2] = 0, (1 << ring_bits) - 1
    ours, theirs = encrypted(key, params, message), other.encrypt(message)
    np.testing.assert_array_equal(other.decrypt(ours), message)
    every = np.arange(params.degree, dtype=np.int32)
    np.testing.assert_array_equal(key.decrypt(theirs[0], theirs[1], every), message)
    assert abs(other.noise_budget(ours) - other.noise_budget(theirs)) <= 1
    assert not other.decrypt(encrypted(key, params, np.zeros_like(message))).any()


def test_both_oracles_agree() -> None:
    secret, message = secret_of(LARGE, Prg(fresh_seed())), Prg(fresh_seed()).ring(LARGE.degree, 45).astype(np.uint64)
    oracles = [make(LARGE.degree, LARGE.primes, 45, secret) for make in (Seal, Exact)]
    for ciphertext in (one.encrypt(message) for one in oracles):
        for one in oracles:
            np.testing.assert_array_equal(one.decrypt(ciphertext), message)
        assert oracles[0].noise_budget(ciphertext) == oracles[1].noise_budget(ciphertext)


def test_errors_are_distributed_as_seals() -> None:
    prg_seed = fresh_seed()
    key, secret = SecretKey(LARGE, Prg(prg_seed)), secret_of(LARGE, Prg(prg_seed))
    seal, message = Seal(LARGE.degree, LARGE.primes, 45, secret), Prg(fresh_seed()).ring(LARGE.degree, 45)
    ours = error_of(key, LARGE, encrypted(key, LARGE, message), message)
    theirs = error_of(key, LARGE, seal.encrypt(message), message)
    for errors in (ours, theirs):
        assert_binomial(errors)
    counts = [np.bincount(np.clip(errors, -8, 8) + 8, minlength=17) for errors in (ours, theirs)]
    assert (np.abs(counts[0] - counts[1]) < 6 * np.sqrt(counts[0] + counts[1])).all()


def test_the_secret_is_uniform_and_ternary() -> None:
    prg_seed = fresh_seed()
    found = secret_in(SecretKey(LARGE, Prg(prg_seed)), LARGE)
    counts = np.bincount(found + 1, minlength=3)
    assert counts.size == 3
    assert (np.abs(counts - LARGE.degree / 3) < 6 * np.sqrt(LARGE.degree * 2 / 9)).all()
    np.testing.assert_array_equal(found, secret_of(LARGE, Prg(prg_seed)))


def test_second_halves_are_uniform() -> None:
    second = encrypted(SecretKey(LARGE, Prg(fresh_seed())), LARGE, np.zeros(LARGE.degree, np.uint64))[1]
    for row, prime in zip(second, LARGE.primes, strict=True):
        counts, _ = np.histogram(row.astype(float) / prime, bins=8, range=(0, 1))
        assert (np.abs(counts - LARGE.degree / 8) < 6 * np.sqrt(LARGE.degree / 8)).all()


def test_a_key_is_its_prgs_alone_and_no_encryption_repeats_another() -> None:
    prg_seed, message = fresh_seed(), np.zeros(LARGE.degree, np.uint64)
    key, again, other = (SecretKey(LARGE, Prg(s)) for s in (prg_seed, prg_seed, fresh_seed()))
    first, same = ([encrypted(k, LARGE, message) for _ in range(3)] for k in (key, again))
    np.testing.assert_array_equal(first, same)
    different = [*first, encrypted(other, LARGE, message)]
    assert len({halves[1].tobytes() for halves in different}) == len(different)
    errors = [error_of(key, LARGE, halves, message).tobytes() for halves in first]
    assert len(set(errors)) == 3
    assert "secret" in repr(key)
    assert len(repr(key)) < 30


def test_parameters_below_128_bits_are_refused() -> None:
    """150 bits of modulus at degree 4096: less than 80 bits of security."""
    with pytest.raises(ConfigError, match="at most 106 bits"):
        HeParams(
            ring_bits=32,
            norm_bits=14,
            coefficients=1,
            degree=4096,
            primes=make_primes(4096, [50, 50, 50]),
            kept=1,
            flood_bits=60,
            drop_bits=0,
        )
