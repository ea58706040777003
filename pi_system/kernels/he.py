"""Arithmetic on RLWE ciphertexts modulo NTT-friendly primes: both sides of protocols/linear_he.

Ciphertexts are residues of their coefficients; weights small signed polynomials. Products are sums of ciphertext times
weight over Z_q[x] / (x^n + 1), q the product of the primes. All paths give the same bytes, in a time that does not
depend on keys, errors, messages, weights or masks (no branch, index or division by them; he.h). The interpreter lock
is released while it computes; an object may be used by several threads at once.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pi_system.kernels import _native
from pi_system.kernels.packing import Words, packed_bytes

SEED_BYTES = 64
MIN_DEGREE = 64
MAX_TERMS = 1 << 11  # lazy sums of 52-bit halves must stay below 2^63

_BLOCK = 32


def rlwe_paths() -> list[str]:
    """Name the instruction paths of this machine, fastest first; ``portable`` is always there."""
    there = {"ifma": _native.rlwe_ifma(), "fma": _native.rlwe_fma(), "portable": True}
    return [path for path, found in there.items() if found]


def expand_seed(seed: npt.NDArray[np.uint8], primes: tuple[int, ...], out: Words) -> None:
    """Write the public second half of the ciphertext with this seed.

    BLAKE2b makes of the seed the key and the first block of AES-128 in counter mode. As the seed is public, the
    cipher stands for an ideal one, as it does in FrodoKEM (specification of 2021, "pseudorandom matrix generation").
    How words become residues: src/he.h.

    Args:
        seed: (64,) bytes.
        primes: the ciphertext modulus.
        out: (primes, n), uniform residues of coefficients.
    """
    _expect(seed, np.uint8, (SEED_BYTES,))
    _expect(out, np.uint64, (len(primes), out.shape[-1]))
    key = hashlib.blake2b(seed.tobytes(), digest_size=32, person=b"pi-he-second").digest()
    _native.rlwe_expand(key, list(primes), out)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSpec:
    """How a product becomes an answer.

    Attributes:
        ring_bits: l, plaintext modulus 2^l.
        flood_bits: f, the noise added to the masked half is a - b, a and b uniform in [0, 2^f).
        kept_bits: bits of the answer's primes, the context's first 1 or 2; the value is divided by the others.
        drop_bits: low bits of the masked half that are not sent; 0 where two primes are kept.
    """

    ring_bits: int
    flood_bits: int
    kept_bits: tuple[int, ...]
    drop_bits: int

    def answer_bytes(self, degree: int, used: int) -> int:
        """Size of an answer whose masked half is read at ``used`` positions."""
        return sum(packed_bytes(degree, b) + packed_bytes(used, b - self.drop_bits) for b in self.kept_bits)


class RlweContext:
    """Transforms and products for one degree and one list of primes.

    Attributes:
        degree: n, a power of two.
        primes: each below 2^51 and 1 modulo 2 n.
        path: the instruction path in use.
    """

    def __init__(self, degree: int, primes: tuple[int, ...], path: str | None = None):
        """Build the tables; ``path`` is one of ``rlwe_paths()``, the fastest by default.

        Raises:
            ValueError: a bad degree, prime or path.
        """
        self.degree, self.primes = degree, primes
        self.path = rlwe_paths()[0] if path is None else path
        if self.path not in rlwe_paths():
            raise ValueError(f"path: expected one of {rlwe_paths()}, found {path}")
        self._native = _native.RlweContext(degree, list(primes), self.path)

    def load_ciphertexts(self, residues: Words) -> Words:
        """Ciphertexts, (count, 2, primes, n) coefficients below their primes, to the evaluation domain.

        Returns:
            (primes, n / 32, count, 2, 32), opaque: an argument of ``multiply``.
        """
        count = residues.shape[0]
        _expect(residues, np.uint64, (count, 2, len(self.primes), self.degree))
        out = np.empty((len(self.primes), self.degree // _BLOCK, count, 2, _BLOCK), np.uint64)
        self._native.load_inputs(residues, out)
        return out

    def load_weights(self, polynomials: npt.NDArray[np.int32]) -> Words:
        """Weight polynomials, (outputs, terms, n) signed coefficients below 2^26, to the evaluation domain.

        Returns:
            (primes, n / 32, outputs, terms, 32), opaque: an argument of ``multiply``.
        """
        outputs, terms = polynomials.shape[:2]
        _expect(polynomials, np.int32, (outputs, terms, self.degree))
        out = np.empty((len(self.primes), self.degree // _BLOCK, outputs, terms, _BLOCK), np.uint64)
        self._native.load_weights(polynomials, out)
        return out

    def multiply(self, weights: Words, ciphertexts: Words, select: npt.NDArray[np.int32]) -> Words:
        """The ciphertexts sum_j weights[o][j] * ciphertexts[select[j]].

        Args:
            weights: of ``load_weights``, of this context, or of one with the same primes and path and a degree k times
                smaller, k a power of two up to n / 64: they stand for w(x^k).
            ciphertexts: of ``load_ciphertexts``.
            select: (terms,) which ciphertext each term takes.

        Returns:
            (outputs, 2, primes, n) in the evaluation domain.
        """
        blocks = (len(self.primes), self.degree // _BLOCK)
        fewer, outputs, terms = weights.shape[1:4]
        if fewer < 2 or fewer & (fewer - 1) or fewer > blocks[1]:
            raise ValueError(f"weights: expected 2 to {blocks[1]} blocks, a power of two, found {fewer}")
        _expect(weights, np.uint64, (blocks[0], fewer, outputs, terms, _BLOCK))
        _expect(ciphertexts, np.uint64, (*blocks, ciphertexts.shape[2], 2, _BLOCK))
        _expect(select, np.int32, (terms,))
        _expect_selection(select, terms, ciphertexts)
        out = np.empty((outputs, 2, len(self.primes), self.degree), np.uint64)
        self._native.multiply(weights, ciphertexts, select, out)
        return out

    def multiply_once(
        self,
        narrow: "RlweContext",
        polynomials: npt.NDArray[np.int32],
        ciphertexts: Words,
        select: npt.NDArray[np.int32],
    ) -> Words:
        """The ciphertexts sum_j weights[o][j] * ciphertexts[select[s][j]] for weights that are not kept.

        Args:
            narrow: of the same primes and path, and of the degree of the weights: k times smaller, k a power of two,
                which stand for w(x^k).
            polynomials: (outputs, terms, n / k) signed coefficients below 2^26.
            ciphertexts: of ``load_ciphertexts``.
            select: (sets, terms) which ciphertext each term takes.

        Returns:
            (sets, outputs, 2, primes, n) in the evaluation domain.
        """
        (sets, terms), outputs = select.shape, polynomials.shape[0]
        if (narrow.primes, narrow.path) != (self.primes, self.path) or self.degree % narrow.degree:
            raise ValueError("narrow: expected a context of the same primes and path, and of a degree that divides")
        if not outputs:
            raise ValueError("polynomials: expected those of an output at least, found none")
        _expect(polynomials, np.int32, (outputs, terms, narrow.degree))
        blocks = (len(self.primes), self.degree // _BLOCK)
        _expect(ciphertexts, np.uint64, (*blocks, ciphertexts.shape[2], 2, _BLOCK))
        _expect(select, np.int32, (sets, terms))
        _expect_selection(select, terms, ciphertexts)
        out = np.empty((sets, outputs, 2, len(self.primes), self.degree), np.uint64)
        self._native.multiply_once(narrow._native, polynomials, ciphertexts, select, out)
        return out

    def secret_key(self, random: Words) -> Words:
        """A secret of uniform ternary coefficients, from (n,) uniform words.

        Returns:
            (primes, n), opaque: an argument of ``encrypt`` and ``decrypt``.
        """
        _expect(random, np.uint64, (self.degree,))
        out = np.empty((len(self.primes), self.degree), np.uint64)
        self._native.secret_key(random, out)
        return out

    def encrypt(self, secret: Words, random: Words, message: Words, ring_bits: int, half: Words) -> None:
        """Write the first half of a ciphertext over the second: round(q / 2^l message) + error - second * secret.

        Args:
            secret: of ``secret_key``.
            random: (n,) uniform words for the error, centred binomial of 42 coin flips.
            message: (n,) values below 2^l.
            ring_bits: l, 1 to 64.
            half: (primes, n) uniform residues, public, never used twice under a key; overwritten.
        """
        shape = (len(self.primes), self.degree)
        _expect(secret, np.uint64, shape)
        _expect(random, np.uint64, shape[1:])
        _expect(message, np.uint64, shape[1:])
        _expect_ring(ring_bits)
        _expect(half, np.uint64, shape)
        self._native.encrypt(secret, random, message, ring_bits, half)

    def decrypt(
        self, secret: Words, first: Words, second: Words, positions: npt.NDArray[np.int32], ring_bits: int
    ) -> Words:
        """The messages of a ciphertext modulo the first primes, at some positions.

        Right as long as the error is below (1 - 2^-11) q / 2^(l + 1), q the product of those primes.

        Args:
            secret: of ``secret_key``.
            first: (kept, used) residues of the first half, at ``positions``.
            second: (kept, n) residues of the second half.
            positions: (used,) coefficients.
            ring_bits: l, 1 to 64.

        Returns:
            (used,) values below 2^l.
        """
        kept = first.shape[0]
        _expect(secret, np.uint64, (len(self.primes), self.degree))
        _expect(first, np.uint64, (kept, positions.size))
        _expect(second, np.uint64, (kept, self.degree))
        _expect_positions(positions, self.degree)
        _expect_ring(ring_bits)
        if not 1 <= kept <= len(self.primes):
            raise ValueError(f"kept primes: expected 1..{len(self.primes)}, found {kept}")
        out = np.empty(positions.size, np.uint64)
        self._native.decrypt(secret, ring_bits, first, second, positions, out)
        return out

    def finish(
        self,
        spec: FinishSpec,
        product: Words,
        zero: Words,
        random: Words,
        positions: npt.NDArray[np.int32],
        flood: Words,
        masks: Words,
    ) -> npt.NDArray[np.uint8]:
        """Re-randomise, flood, mask, reduce the modulus and pack one product.

        Args:
            spec: the sizes.
            product: (2, primes, n) of ``multiply``; overwritten.
            zero: one encryption of zero, of ``load_ciphertexts``.
            random: (n, 2) uniform words: errors and the ternary multiplier of ``zero``.
            positions: (used,) coefficients that the receiver reads.
            flood: (used, 4) uniform words.
            masks: (used,) values below 2^l to add.

        Returns:
            ``spec.answer_bytes(n, used)`` bytes: the second polynomial, a bit string for each kept prime, then the
            read coefficients of the first in the same way, without their low bits.
        """
        shape = (2, len(self.primes), self.degree)
        _expect(product, np.uint64, shape)
        _expect(zero, np.uint64, (len(self.primes), self.degree // _BLOCK, 1, 2, _BLOCK))
        _expect(random, np.uint64, (self.degree, 2))
        _expect(flood, np.uint64, (positions.size, 4))
        _expect(masks, np.uint64, (positions.size,))
        _expect_positions(positions, self.degree)
        out = np.empty(spec.answer_bytes(self.degree, positions.size), np.uint8)
        self._native.finish(
            spec.ring_bits,
            spec.flood_bits,
            len(spec.kept_bits),
            spec.drop_bits,
            product,
            zero,
            random,
            positions,
            flood,
            masks,
            out,
        )
        return out


def _expect(array: npt.NDArray[np.generic], dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"expected a contiguous {np.dtype(dtype)} array {shape}, found {array.dtype} {array.shape}")


def _expect_selection(select: npt.NDArray[np.int32], terms: int, ciphertexts: Words) -> None:
    if not 1 <= terms <= MAX_TERMS:
        raise ValueError(f"terms: expected 1..{MAX_TERMS}, found {terms}")
    if select.size and not 0 <= int(select.min()) <= int(select.max()) < ciphertexts.shape[2]:
        raise ValueError(f"select: expected 0..{ciphertexts.shape[2] - 1}")


def _expect_positions(positions: npt.NDArray[np.int32], degree: int) -> None:
    _expect(positions, np.int32, (positions.size,))
    if positions.size and not 0 <= int(positions.min()) <= int(positions.max()) < degree:
        raise ValueError(f"positions: expected 0..{degree - 1}")


def _expect_ring(ring_bits: int) -> None:
    if not 1 <= ring_bits <= 64:
        raise ValueError(f"ring_bits: expected 1..64, found {ring_bits}")
