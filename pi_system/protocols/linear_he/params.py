"""Encryption parameters of the linear layers: derived from the ring and from how large weights may be.

A ciphertext (c0, c1) modulo q hides m modulo t = 2^l: c0 + c1 s = (q / t) m + e. The client's fresh error meets the
weights; the server adds its re-randomisation and a flood that hides both, divides by the dropped primes (q = Q P, Q
stays) and cuts low bits off c0. The client decrypts rightly while what is left of all errors stays below Q / (2 t):

    fresh * weights    sigma = 3.24 a coefficient (centred binomial, key.py), plus the rounding of (q / t) m, variance
                       1/12: standard deviation <= sqrt((10.5 + 1/12) o) * 2^norm_bits, with
                       norm_bits = log2 of the largest Euclidean norm of the weights that one output reads, and
                       o the outputs of the answer: every coefficient's error reads the weights of all of them
    re-randomisation   u e' + e'' s, u and s ternary: standard deviation <= sqrt(2 * 10.5 * 2/3 n)
    flood              a - b, a and b uniform in [0, 2^f): below 2^f in size, a triangle. f is the least that hides
                       the errors of one inference by STATISTICAL_BITS, as ``flood_distance`` counts it
    dividing           error of the rounded c0 and c1: standard deviation <= sqrt((1 + n) / 12)
    cutting            2^(drop_bits - 1)
    decrypting         2^-11 of Q / (2 t), for the client's quotients have 128 bits (kernels/src/he_client.cpp)

Gaussian tails are taken at TAIL standard deviations: probability 2^-71 a coefficient (every term is sub-Gaussian with
its own variance as proxy). Ring degree n is the smallest whose largest modulus at 128-bit security is at least q, by
the table of Security Guidelines for Implementing Homomorphic Encryption (Bossuat et al., eprint 2024/463): ternary
secret, classical attacks. The standard of 2018, and SEAL with it, allows 109, 218 and 438 bits.

Why a triangle. Adding e to it changes it by h^2 <= (e^2 / 4^(f+1)) (ln(2^f / e) + 4) in squared Hellinger distance
(numerically checked in tests), and squared distances add over N coefficients: the statistical distance is at most the
root of 2 N h^2, with e its root mean square (the bound is concave in e^2), for which o is its mean over all
coefficients (plan.py has it from the packings). So N counts with its square root. Under
uniform noise distances add themselves: 6 10^5 coefficients and 2^20 inferences cost 39 bits there, 20 here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pi_system.errors import ConfigError
from pi_system.kernels.he import SEED_BYTES, FinishSpec
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.linear_he.layer import LinearShape
from pi_system.protocols.linear_he.primes import make_primes

STATISTICAL_BITS = 40
MIN_RING_BITS = 16  # smaller primes are too rare to fit the budget's margin
MAX_RING_BITS = 64  # of the kernels, and of the widest carrier
WEIGHT_BITS = 15

_TAIL = 10.0
_ERROR_VARIANCE = 10.5  # 42 coin flips
_PRIME_BITS = 51  # of the kernels
_DECRYPTED = 1 - 2.0**-11  # of Q / (2 t)
_MARGIN = 0.95  # of Q / (2 t): primes are a little below their power of two
_SPARE_BITS = 3  # kept beyond what is needed (2 % more bytes down each) where that saves a prime
_LARGEST_MODULUS_BITS = {4096: 106, 8192: 214, 16384: 430}


@dataclass(frozen=True, kw_only=True)
class HeParams:
    """What both parties must agree on; public.

    Attributes:
        ring_bits: l.
        norm_bits: every output's weights have a Euclidean norm of at most 2^norm_bits.
        coefficients: of all answers of one inference: how many are flooded.
        degree: n.
        primes: the ciphertext modulus, those of the answer first.
        kept: how many primes an answer has.
        flood_bits: f.
        drop_bits: low bits of an answer's first half that are not sent.
        outputs: o, at least the mean over all coefficients of the outputs in their answers.
    """

    ring_bits: int
    norm_bits: int
    coefficients: int
    degree: int
    primes: tuple[int, ...]
    kept: int
    flood_bits: int
    drop_bits: int
    outputs: int = 1

    def __post_init__(self) -> None:
        """Assert the noise budget and the security level.

        Raises:
            ConfigError: either does not hold.
        """
        if self.noise_budget <= 0:
            raise ConfigError(f"noise budget: expected more than 0 bits, found {self.noise_budget:.2f}")
        largest = _LARGEST_MODULUS_BITS.get(self.degree, 0)
        if math.prod(self.primes).bit_length() > largest:
            raise ConfigError(f"modulus: expected at most {largest} bits at degree {self.degree}")
        if self.flood_distance() > 2.0**-STATISTICAL_BITS:
            found = math.log2(self.flood_distance())
            raise ConfigError(f"flood_bits: expected a distance of at most 2^-{STATISTICAL_BITS}, found 2^{found:.1f}")

    def flood_distance(self, inferences: int = 1) -> float:
        """Statistical distance of everything the answers of ``inferences`` tell beside W r - c_s, at most."""
        deviation = _error_deviation(self.norm_bits, self.degree, self.outputs)
        return _flood_distance(self.flood_bits, deviation, self.coefficients * inferences)

    @property
    def noise_budget(self) -> float:
        """Bits left between the largest error and the one that decrypts wrongly."""
        answer = math.prod(self.primes[: self.kept])
        divided = math.prod(self.primes[self.kept :])
        error = 2.0**self.flood_bits + _TAIL * _error_deviation(self.norm_bits, self.degree, self.degree)
        cut = 2.0 ** (self.drop_bits - 1) if self.drop_bits else 0.0
        total = error / divided + _division_error(self.degree) + cut + 1.0
        return math.log2(_DECRYPTED * answer / 2.0 ** (self.ring_bits + 1)) - math.log2(total)

    @cached_property
    def prime_bits(self) -> tuple[int, ...]:
        """Bits of each prime, also of its residues on the wire."""
        return tuple(p.bit_length() for p in self.primes)

    @cached_property
    def upload_bytes(self) -> int:
        """Size of one encrypted polynomial: the seed of its second half, then its first half."""
        return SEED_BYTES + sum(packed_bytes(self.degree, b) for b in self.prime_bits)

    @cached_property
    def finish(self) -> FinishSpec:
        """The answer's format."""
        return FinishSpec(
            ring_bits=self.ring_bits,
            flood_bits=self.flood_bits,
            kept_bits=self.prime_bits[: self.kept],
            drop_bits=self.drop_bits,
        )


def worst_norm_bits(layers: Iterable[LinearShape], weight_bits: int = WEIGHT_BITS) -> int:
    """log2, rounded up, of the largest Euclidean norm that weights below 2^weight_bits in size can have."""
    return math.ceil(weight_bits + max(math.log2(layer.fan_in) / 2 for layer in layers))


def _flood_distance(flood_bits: int, deviation: float, coefficients: int) -> float:
    shift = deviation / 2.0**flood_bits
    return math.sqrt(2 * coefficients * shift**2 / 4 * (max(0.0, -math.log(shift)) + 4))


def _flood_bits_for(deviation: float, coefficients: int) -> int:
    """The least f that hides the errors of one inference by STATISTICAL_BITS."""
    flood_bits = math.ceil(math.log2(deviation))
    while _flood_distance(flood_bits, deviation, coefficients) > 2.0**-STATISTICAL_BITS:
        flood_bits += 1
    return flood_bits


def ring_refused(ring_bits: int) -> str:
    """Why there are no parameters for Z_{2^ring_bits}; empty if there may be."""
    if MIN_RING_BITS <= ring_bits <= MAX_RING_BITS:
        return ""
    return f"expected a ring of {MIN_RING_BITS}..{MAX_RING_BITS} bits for homomorphic encryption, found {ring_bits}"


def derive_params(ring_bits: int, norm_bits: int, coefficients: int, outputs: int = 1) -> HeParams:
    """The cheapest parameters for Z_{2^ring_bits}, weights of this norm and this many outputs of linear layers.

    ``outputs``: how many of them an answer has, in the mean over ``coefficients``, at most.

    Raises:
        ConfigError: ring_bits is not 16..64, or no degree has room for the noise.
    """
    if reason := ring_refused(ring_bits):
        raise ConfigError(f"ring_bits: {reason}")
    for degree, largest in _LARGEST_MODULUS_BITS.items():
        flood = _flood_bits_for(_error_deviation(norm_bits, degree, outputs), coefficients)
        if flood > 120:
            raise ConfigError(f"norm_bits: expected weights that need at most 120 bits of flood, found {flood}")
        kept, dropped, drop_bits = _split(ring_bits, flood, degree)
        if sum(kept) + sum(dropped) <= largest:
            return HeParams(
                ring_bits=ring_bits,
                norm_bits=norm_bits,
                coefficients=coefficients,
                degree=degree,
                primes=make_primes(degree, kept + dropped),
                kept=len(kept),
                flood_bits=flood,
                drop_bits=drop_bits,
                outputs=outputs,
            )
    raise ConfigError(f"noise budget: expected a degree of at most {degree} to hold {norm_bits} bits of norm")


def _split(ring_bits: int, flood_bits: int, degree: int) -> tuple[list[int], list[int], int]:
    """Bits of the kept primes, of the dropped ones, and drop_bits: the fewest primes, then the fewest kept bits."""
    division = _division_error(degree) + 1.0
    least = math.ceil(math.log2(1.2 * division / _MARGIN))
    splits = []
    for above in range(least, least + _SPARE_BITS + 1):
        kept = _cut(ring_bits + 1 + above)
        rest = _MARGIN * 2.0**above - division
        drop_bits = math.floor(math.log2(rest / 2)) + 1 if len(kept) == 1 else 0
        rest -= 2.0 ** (drop_bits - 1) if drop_bits else 0.0
        splits.append((kept, _cut(math.ceil(flood_bits - math.log2(_MARGIN * rest))), drop_bits))
    return min(splits, key=lambda split: len(split[0]) + len(split[1]))


def _cut(bits: int) -> list[int]:
    """``bits`` as a sum of sizes of primes."""
    count = -(-bits // _PRIME_BITS)
    return [(bits + i) // count for i in range(count)]


def _error_deviation(norm_bits: int, degree: int, outputs: int) -> float:
    return math.sqrt((_ERROR_VARIANCE + 1 / 12) * outputs * 4.0**norm_bits + 4 / 3 * _ERROR_VARIANCE * degree)


def _division_error(degree: int) -> float:
    return _TAIL * math.sqrt((1 + degree) / 12)
