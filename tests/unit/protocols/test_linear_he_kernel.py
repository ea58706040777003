"""The arithmetic kernel: every path against whole-number arithmetic, and against each other."""

import numpy as np
import pytest

from pi_system.kernels.he import FinishSpec, RlweContext, rlwe_paths
from pi_system.kernels.packing import packed_bytes, unpack_bits
from pi_system.protocols.linear_he.primes import make_primes

DEGREE = 1024


def product(a: np.ndarray, weight: np.ndarray, prime: int) -> np.ndarray:
    """a * weight modulo x^n + 1 and the prime; weight is sparse."""
    total = np.zeros(DEGREE, object)
    for at in np.flatnonzero(weight):
        shifted = np.roll(a.astype(object), at)
        shifted[:at] *= -1
        total += int(weight[at]) * shifted
    return total % prime


def case(primes: tuple[int, ...], terms: int = 3, degree: int = DEGREE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    residues = [rng.integers(0, p, (terms, 2, degree), dtype=np.uint64) for p in primes]
    weights = np.zeros((2, terms, degree), np.int32)
    at = rng.integers(0, degree, (2, terms, 9))
    np.put_along_axis(weights, at, rng.integers(-(2**15), 2**15, at.shape).astype(np.int32), 2)
    return np.stack(residues, axis=2), weights


@pytest.mark.parametrize("path", rlwe_paths())
@pytest.mark.parametrize("bits", [[51, 51], [47, 48], [27, 35], [20, 20]])
def test_products_are_exact(path: str, bits: list[int]) -> None:
    primes = make_primes(DEGREE, bits)
    context = RlweContext(DEGREE, primes, path)
    ciphertexts, weights = case(primes)
    select = np.array([2, 0, 1], np.int32)
    found = context.multiply(context.load_weights(weights), context.load_ciphertexts(ciphertexts), select)
    # Both primes kept, no noise, no mask: the answer is the product.
    spec = FinishSpec(ring_bits=40, flood_bits=1, kept_bits=tuple(p.bit_length() for p in primes), drop_bits=0)
    positions, zeros = np.arange(DEGREE, dtype=np.int32), np.zeros((DEGREE, 2), np.uint64)
    nothing = context.load_ciphertexts(np.zeros((1, *ciphertexts.shape[1:]), np.uint64))
    middle = np.ones((DEGREE, 4), np.uint64)  # a - b = 0
    for output in range(2):
        message = context.finish(spec, found[output], nothing, zeros, positions, middle, np.zeros(DEGREE, np.uint64))
        at = 0
        for half in (1, 0):
            for i, prime in enumerate(primes):
                values, size = np.empty(DEGREE, np.uint64), packed_bytes(DEGREE, prime.bit_length())
                unpack_bits(message[at : at + size].copy(), prime.bit_length(), values)
                at += size
                parts = [product(ciphertexts[select[j], half, i], weights[output, j], prime) for j in range(3)]
                np.testing.assert_array_equal(values, (np.sum(parts, axis=0) % prime).astype(np.uint64))


@pytest.mark.parametrize("bits", [51, 47])
def test_many_terms_do_not_overflow(bits: int) -> None:
    primes = make_primes(DEGREE, [bits])
    rows = np.full((700, 2, 1, DEGREE), primes[0] - 1, np.uint64)
    weights = np.full((1, 700, DEGREE), -1, np.int32)
    found = [
        c.multiply(c.load_weights(weights), c.load_ciphertexts(rows), np.arange(700, dtype=np.int32)).max()
        for c in (RlweContext(DEGREE, primes, path) for path in rlwe_paths())
    ]
    assert all(value < primes[0] for value in found)


@pytest.mark.parametrize("path", rlwe_paths())
@pytest.mark.parametrize(("degree", "copies", "terms"), [(8192, 1, 40), (8192, 2, 3), (1024, 8, 5), (2048, 32, 1200)])
def test_weights_of_a_power_of_x_kept_or_used_once_give_the_same_products(
    path: str, degree: int, copies: int, terms: int
) -> None:
    """Those of the same polynomials with the zeros in; 40 and 1,200 terms in parts that are added up."""
    primes, rng = make_primes(degree, [34, 47]), np.random.default_rng(1)
    context, narrow = RlweContext(degree, primes, path), RlweContext(degree // copies, primes, path)
    few = np.stack([rng.integers(0, p, (7, 2, degree), dtype=np.uint64) for p in primes], axis=2)
    ciphertexts = context.load_ciphertexts(few)
    weights = rng.integers(-(2**15), 2**15, (2, terms, degree // copies)).astype(np.int32)
    select = rng.integers(0, 7, (3, terms)).astype(np.int32)
    once = context.multiply_once(narrow, weights, ciphertexts, select)
    kept = narrow.load_weights(weights)
    for one, products in zip(select, once, strict=True):
        np.testing.assert_array_equal(context.multiply(kept, ciphertexts, one), products)
    zeros_in = np.zeros((2, terms, degree), np.int32)
    zeros_in[:, :, ::copies] = weights
    wide = context.multiply(context.load_weights(zeros_in), ciphertexts, select[0])
    np.testing.assert_array_equal(wide, once[0])


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("degree", [64, 128, 1024, 8192])
@pytest.mark.parametrize("bits", [[50, 28, 29], [47, 47, 31], [47, 51, 50], [34, 35, 31, 32]])
def test_all_paths_give_the_same_answer(bits: list[int], degree: int, largest: bool) -> None:
    """Answers and encryptions, of any numbers and of the largest: those that reductions left out would show."""
    primes, rng = make_primes(degree, bits), np.random.default_rng(1)
    kept = len(bits) - 2
    ciphertexts, weights = case(primes, degree=degree)
    drop_bits = 5 if kept == 1 else 0
    spec = FinishSpec(ring_bits=41, flood_bits=70, kept_bits=tuple(bits[:kept]), drop_bits=drop_bits)
    positions = np.arange(1, degree, 3, dtype=np.int32)
    words = rng.integers(0, 2**64, (degree, 2), dtype=np.uint64)
    floods = rng.integers(0, 2**64, (positions.size, 4), dtype=np.uint64)
    masks = rng.integers(0, 2**41, positions.size, dtype=np.uint64)
    if largest:
        for i, prime in enumerate(primes):
            ciphertexts[:, :, i] = prime - 1
        weights[:] = -(2**25)
        words[:], floods[:, :2], floods[:, 2:], masks[:] = 2**64 - 1, 2**64 - 1, 0, 2**41 - 1
    answers = []
    for path in rlwe_paths():
        context = RlweContext(degree, primes, path)
        loaded = context.load_ciphertexts(ciphertexts)
        found = context.multiply(context.load_weights(weights), loaded, np.arange(3, dtype=np.int32))
        zero = context.load_ciphertexts(ciphertexts[:1])
        flood, half = floods.copy(), ciphertexts[0, 1].copy()
        secret = context.secret_key(words[:, 0].copy())
        context.encrypt(secret, words[:, 1].copy(), np.resize(masks, degree), 41, half)
        finished = context.finish(spec, found[1], zero, words, positions, flood, masks)
        assert finished.size == spec.answer_bytes(degree, positions.size)
        answers.append(finished.tobytes() + half.tobytes())
    assert len(set(answers)) == 1


def test_bad_arguments_are_refused() -> None:
    primes = make_primes(DEGREE, [40])
    context = RlweContext(DEGREE, primes)
    with pytest.raises(ValueError, match="path"):
        RlweContext(DEGREE, primes, "abacus")
    with pytest.raises(ValueError, match="prime"):
        RlweContext(DEGREE, (primes[0] + 2,))
    with pytest.raises(ValueError, match="51 bits"):
        RlweContext(DEGREE, make_primes(DEGREE, [52]))
    with pytest.raises(ValueError, match="degree"):
        RlweContext(DEGREE - 1, primes)
    with pytest.raises(ValueError, match="contiguous"):
        context.load_weights(np.zeros((1, 1, 2 * DEGREE), np.int32)[:, :, ::2])
    with pytest.raises(ValueError, match="expected a contiguous"):
        context.load_ciphertexts(np.zeros((1, 2, 2, DEGREE), np.uint64))
    weights = context.load_weights(np.zeros((1, 1, DEGREE), np.int32))
    loaded = context.load_ciphertexts(np.zeros((1, 2, 1, DEGREE), np.uint64))
    with pytest.raises(ValueError, match="select"):
        context.multiply(weights, loaded, np.array([1], np.int32))
    polynomials = np.zeros((1, 1, DEGREE), np.int32)
    with pytest.raises(ValueError, match="select"):
        context.multiply_once(context, polynomials, loaded, np.array([[0], [-1]], np.int32))
    with pytest.raises(ValueError, match="expected a contiguous"):
        context.multiply_once(context, polynomials[:, :, :512], loaded, np.zeros((1, 1), np.int32))
    with pytest.raises(ValueError, match="same primes and path"):
        context.multiply_once(
            RlweContext(2 * DEGREE, make_primes(2 * DEGREE, [40])), polynomials, loaded, np.zeros((1, 1), np.int32)
        )
    with pytest.raises(ValueError, match="same primes and path"):
        context.multiply_once(
            RlweContext(DEGREE, make_primes(DEGREE, [41])), polynomials, loaded, np.zeros((1, 1), np.int32)
        )
    with pytest.raises(ValueError, match="found none"):
        context.multiply_once(context, polynomials[:0], loaded, np.zeros((1, 1), np.int32))
    many = np.zeros((1, 2049, DEGREE), np.int32)
    with pytest.raises(ValueError, match="terms"):
        context.multiply_once(context, many, loaded, np.zeros((1, 2049), np.int32))
