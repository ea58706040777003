"""BFV in exact integers under a secret key that a test knows, slowly: an oracle for rings that SEAL has no place for.

Plaintext moduli of SEAL stay below 2^60. Where both have room they agree: tests/unit/protocols/test_linear_he_key.py.
"""

import math

import numpy as np
import numpy.typing as npt
from seal import MAX_PLAIN_BITS, Seal

from pi_system.kernels.packing import Words

_LIMB_BITS = 17  # sums of n of them, with signs, are exact in a transform of doubles


def oracle(degree: int, primes: tuple[int, ...], ring_bits: int, secret: npt.NDArray[np.int64]) -> "Seal | Exact":
    """SEAL, where it has place for the ring."""
    make = Seal if ring_bits <= MAX_PLAIN_BITS else Exact
    return make(degree, primes, ring_bits, secret)


class Exact:
    """One secret, one ciphertext modulus; what ``Seal`` has."""

    def __init__(self, degree: int, primes: tuple[int, ...], ring_bits: int, secret: npt.NDArray[np.int64]) -> None:
        """``secret``: (n,) ternary coefficients."""
        self._degree, self._primes, self._plain = degree, primes, 1 << ring_bits
        self._modulus, self._spectrum = math.prod(primes), np.fft.rfft(secret, 2 * degree)

    def encrypt(self, polynomial: Words) -> Words:
        """A fresh ciphertext, (2, primes, n) residues."""
        rng = np.random.default_rng()
        errors = rng.binomial(42, 0.5, self._degree).astype(np.int64) - 21
        scaled = [(self._modulus * int(m) + self._plain // 2) // self._plain for m in polynomial]
        out = np.empty((2, len(self._primes), self._degree), np.uint64)
        for i, p in enumerate(self._primes):
            out[1, i] = rng.integers(0, p, self._degree)
            first = np.array([value % p for value in scaled], np.int64) + errors
            out[0, i] = (first - self._times_secret(out[1, i], p)) % p
        return out

    def decrypt(self, ciphertext: Words) -> Words:
        """The message, (n,)."""
        return np.array([self._rounded(value) % self._plain for value in self.phases(ciphertext)], np.uint64)

    def noise_budget(self, ciphertext: Words) -> int:
        """Bits, rounded down, between the largest error and one that decrypts wrongly."""
        errors = (abs(self._plain * v - self._modulus * self._rounded(v)) for v in self.phases(ciphertext))
        return math.floor(math.log2(self._modulus) - 1 - math.log2(max(1, *errors)))

    def _rounded(self, value: int) -> int:
        return (2 * self._plain * value + self._modulus) // (2 * self._modulus)

    def phases(self, ciphertext: Words) -> list[int]:
        """c0 + c1 s modulo q."""
        lifts = [self._modulus // p * pow(self._modulus // p, -1, p) for p in self._primes]
        rows = [
            ((ciphertext[0, i].astype(np.int64) + self._times_secret(ciphertext[1, i], p)) % p).tolist()
            for i, p in enumerate(self._primes)
        ]
        return [sum(map(int.__mul__, lifts, column)) % self._modulus for column in zip(*rows, strict=True)]

    def _times_secret(self, values: Words, prime: int) -> npt.NDArray[np.int64]:
        """Modulo x^n + 1 and the prime."""
        out = np.zeros(self._degree, np.int64)
        for shift in range(0, prime.bit_length(), _LIMB_BITS):
            limb = (values >> np.uint64(shift)) & np.uint64((1 << _LIMB_BITS) - 1)
            whole = np.rint(np.fft.irfft(np.fft.rfft(limb, 2 * self._degree) * self._spectrum)).astype(np.int64)
            folded = (whole[: self._degree] - whole[self._degree :]) % prime
            out = (out + np.array([int(v) * (1 << shift) % prime for v in folded], np.int64)) % prime
        return out
