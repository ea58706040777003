"""Primes of a ciphertext modulus: those modulo which Z_p[x] / (x^n + 1) has a number-theoretic transform."""

from collections.abc import Sequence
from functools import cache

from pi_system.errors import ConfigError

_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def make_primes(degree: int, bits: Sequence[int]) -> tuple[int, ...]:
    """Distinct primes of these sizes that are 1 modulo 2 * degree; of each size the largest ones.

    Args:
        degree: n, a power of two.
        bits: of each prime, at most 64.

    Raises:
        ConfigError: there are not as many.
    """
    found: list[int] = []
    for size in bits:
        prime = _below(min(p for p in (1 << size, *found) if p >> (size - 1)), 2 * degree)
        if prime.bit_length() != size:
            raise ConfigError(f"primes: expected one more of {size} bits that is 1 modulo {2 * degree}, found none")
        found.append(prime)
    return tuple(found)


@cache
def _below(limit: int, step: int) -> int:
    """The largest prime below ``limit`` that is 1 modulo ``step``; 1 if there is none."""
    candidate = (limit - 2) // step * step + 1
    while candidate > 1 and not _is_prime(candidate):
        candidate -= step
    return candidate


def _is_prime(odd: int) -> bool:
    """Miller and Rabin's test, exact below 2^64 with these witnesses (Sorenson and Webster, arXiv 1509.00864)."""
    twos = (odd - 1 & 1 - odd).bit_length() - 1
    for witness in _WITNESSES:
        power = pow(witness, (odd - 1) >> twos, odd)
        if witness % odd == 0 or power in (1, odd - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % odd
            if power == odd - 1:
                break
        else:
            return False
    return True
