#!/usr/bin/env python
"""Bit costs of the known attacks on regular-noise LPN over F_2, for the sets of protocols/ot/ferret.py.

usage: scripts/lpn_estimate.py [--out docs/reference/lpn-estimate.json] [N K T]

An instance: n noisy products with a k-bit secret, one error in each of t blocks of beta = n / t. Costs are log2 of bit
operations as the sources count them, memory free, so low. Formulas were written anew from these sources and compared on
three instances (tests/unit/protocols/test_lpn_estimate.py) with the authors' own programs
(github.com/1234wangtr/Code_estimators, the code behind lpnestimator.com):

    gauss, isd, bjmm, statistical(_2)   Liu, Wang, Yang, Yu, eprint 2022/712; for regular noise every block's parity is
                                        known, so n and k are taken less t
    regular_permutation, _enumeration,  Esser, Santini, eprint 2023/1568, appendix A.1
    _representation
    algebraic                           Briaud, Oygarden, eprint 2023/176: linearisation at the first degree (2 to 4)
                                        where the Hilbert series stops, f blocks guessed to be zero at mu places; a
                                        higher degree has more than 2^80 monomials here
    hybrid                              eprint 2025/1284: guesses in all blocks, then a quadratic system; all are
                                        searched, where the authors' quick search can miss ten bits
    algebraic_2                         eprint 2025/1476: two nested guesses (f', mu') <= (f, mu), the first elimination
                                        shared; searched over more pairs than the authors search

Of 2025/1284 and 2025/1476 the formulas come from the authors' programs; their proofs were not checked. All treat the
code as random; that a 10-local code is not weaker is Ferret's assumption (eprint 2020/924), which no estimator covers.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import gammaln

from pi_system.protocols.ot.ferret import LARGE, SMALL

Grid = Any
_LN2 = np.log(2.0)
_STRASSEN = 2.8
_DENSE = np.log2(5.64)  # of Strassen's constant
_BEYOND = 200  # bits: what costs more is not searched


@dataclass(frozen=True, slots=True)
class Instance:
    """Regular LPN: ``n`` samples (cut to whole blocks), ``k`` secret bits, ``t`` errors."""

    n: int
    k: int
    t: int

    @property
    def block(self) -> int:
        """Length of a block: beta."""
        return self.n // self.t

    @property
    def cut(self) -> "Instance":
        """With a whole number of positions in every block; the parity checks stay."""
        n = self.block * self.t
        return Instance(n, self.k - (self.n - n), self.t)

    @property
    def exact(self) -> "Instance":
        """The instance of exact noise once every block's parity is used."""
        return Instance(self.n - self.t, self.k - self.t, self.t)


def _choose(n: Grid, m: Grid) -> Grid:
    """log2 of n choose m, -inf where that is zero."""
    n, m = np.asarray(n, float), np.asarray(m, float)
    good = (m >= 0) & (m <= n)
    m, n = np.where(good, m, 0.0), np.where(good, n, 0.0)
    return np.where(good, (gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)) / _LN2, -np.inf)


def _sum2(*logs: Grid) -> Grid:
    """log2 of a sum."""
    total = logs[0]
    for other in logs[1:]:
        total = np.logaddexp2(total, other)
    return total


def gauss(x: Instance) -> float:
    """Pooled Gauss: k positions without an error."""
    n, k, t = x.exact.n, x.exact.k, x.t
    return float(_STRASSEN * np.log2(min(k, n - k)) - (_choose(n - k, t) - _choose(n, t)))


def statistical(x: Instance) -> float:
    """Statistical decoding."""
    n, k, t = x.exact.n, x.exact.k, x.t
    return float(np.log2(k + 1) + 2 * t * np.log2((n - t + 1) / (n - k - t)))


def statistical_2(x: Instance) -> float:
    """Statistical decoding 2.0: as many secret bits enumerated as pooled Gauss costs."""
    n, k, t = x.exact.n, x.exact.k - int(gauss(x)), x.t
    return float(np.log2(k + 1) + 2 * t * np.log2((n - t + 1) / (n - k - t)))


def isd(x: Instance) -> float:
    """Information set decoding of Stern and Dumer, p errors in k + l positions."""
    n, k, t = x.exact.n, x.exact.k, x.t
    p = np.arange(0, min(60, t), 2)[:, None]
    window = (k + np.arange(1, 400)) // 2 * 2 - k + 2
    lists = _choose((k + window) // 2, p // 2)
    pairs = 2 * lists - window
    once = np.log2(n) + _sum2(_elimination(n, n - k - window), 1 + lists, 1 + pairs)
    success = _choose(n - k - window, t - p) - _choose(n, t) + window + pairs
    return float(np.where(success < 0, once - success, np.inf).min())


def _elimination(n: int, rest: Grid) -> Grid:
    """log2 of rows of a Gaussian elimination by the method of four Russians."""
    rest = np.maximum(rest, 2.0)
    return np.log2(rest * n / np.log2(rest))


def bjmm(x: Instance) -> float:
    """The same with representations, depth 3 (Becker, Joux, May, Meurer)."""
    n, k, t = x.exact.n, x.exact.k, x.t
    window = (k + np.arange(1, 400)) // 2 * 2 - k + 2
    best = np.inf
    for p2 in range(0, 18, 2):
        for e2 in range(p2 + 1):
            p1 = 2 * (p2 - e2)
            for e1 in range(max(0, p1 - t // 2), p1 + 1):
                best = min(best, _bjmm_once(n, k, t, window, (p2, e2, e1)))
    return float(best)


def _bjmm_once(n: int, k: int, t: int, window: Grid, weights: tuple[int, int, int]) -> float:
    p2, e2, e1 = weights
    p1 = 2 * (p2 - e2)
    p = 2 * (p1 - e1)
    size = k + window
    base = _choose(size // 2, p2 // 2)
    mu2 = _choose(p2, e2) + _choose(size - p2, p2 - e2) - _choose(size, p2)
    mu1 = _choose(p1, e1) + _choose(size - p1, p1 - e1) - _choose(size, p1)
    r2 = np.clip(np.floor(mu2 + 4 * base - _choose(size, p1)), 0, window - 1)
    first = np.floor(mu1 + 2 * _choose(size, p1) - _choose(size, p))
    r1 = np.clip(np.where(np.isfinite(first), first, 0) - r2, 0, window - r2 - 1)
    c3 = 2 * base - r2
    c2 = 2 * c3 - r1
    s1 = np.minimum(mu2 + c2, _choose(size, p1) - r1 - r2)
    c1 = 2 * s1 - window + r1 + r2
    s0 = np.minimum(mu1 + c1, _choose(size, p) - window)
    rest = n - k - window
    once = np.log2(n) + _sum2(_elimination(n, rest), 3 + base, 2 + c3, 1 + c2, 1 + c1)
    success = _choose(rest, t - p) + window + s0 - _choose(n, t)
    return float(np.where(np.isfinite(s0) & (success < 0), once - success, np.inf).min())


def regular_permutation(x: Instance) -> float:
    """Regular information set decoding, no errors in the information set."""
    x = x.cut
    k = x.k - x.t
    return float(2 * np.log2(x.n - k) + np.log2(x.n) - x.t * np.log2(1 - k / x.n))


def _regular_success(x: Instance, each: Grid, p: Grid) -> Grid:
    """log2 of the probability that p blocks, half of them of each half, have their error in ``each`` places of it."""
    low, high = x.t // 2, -(-x.t // 2)
    inside = each / x.block
    good = (inside < 1) & (p <= 2 * low)
    inside = np.where(inside < 1, inside, 0.5)
    log = _choose(low, p / 2) + _choose(high, p / 2) + np.log2(inside) * p + np.log2(1 - inside) * (x.t - p)
    return np.where(good, log, -np.inf)


def regular_enumeration(x: Instance) -> float:
    """The same with p blocks that have their error there, found by meeting in the middle."""
    x = x.cut
    k = x.k - x.t
    p, window = np.arange(0, 60, 2)[:, None], np.arange(1, 400)
    each = (k + window) / x.t
    lists = _choose(round(x.t / 2), p // 2) + np.log2(each) * (p / 2)
    once = np.log2(x.n) + np.maximum(np.maximum(2 * np.log2(x.n - k), 1 + lists), 2 * lists - window)
    return float((once - _regular_success(x, each, p)).min())


def regular_representation(x: Instance) -> float:
    """The same with representations, depth 2."""
    x = x.cut
    k = x.k - x.t
    p = np.arange(0, 60, 4)[:, None, None]
    extra, window = np.arange(0, 40, 2)[:, None], np.arange(1, 600)
    each, weight = (k + window) / x.t, p / 2 + extra
    ways = 2 * (_choose(p / 2, p / 4) + _choose(x.t / 2 - p / 2, extra / 2))
    count = np.where(np.isfinite(ways), np.floor(ways), 0)
    lists = _choose(round(x.t / 2), weight / 2) + np.log2(each) * (weight / 2)
    merged = 2 * lists - count
    last = 2 * merged - (window - count)
    once = np.log2(x.n) + np.maximum.reduce(np.broadcast_arrays(2 * np.log2(x.n - k), 2 + lists, 1 + merged, last))
    cost = once - _regular_success(x, each, p)
    return float(np.where(np.isfinite(ways) & np.isfinite(lists), cost, np.inf).min())


def _powers(a: Grid, count: Grid) -> list[Grid]:
    """Coefficients 0 to 4 of (1 + a z)^count."""
    out = [np.ones(np.broadcast(a, count).shape)]
    for i in range(4):
        out.append(out[-1] * a * (count - i) / (i + 1))
    return out


def _product(left: list[Grid], right: list[Grid]) -> list[Grid]:
    return [sum(left[i] * right[d - i] for i in range(d + 1)) for d in range(5)]


class _Macaulay:
    """Over all guesses (f, mu): counts of monomials and of what the equations leave, degree by degree."""

    def __init__(self, x: Instance):
        f = np.arange(x.t + 1, dtype=float)[:, None]
        mu = np.arange(x.block, dtype=float)
        monomials = _product(_powers(x.block - mu - 1, f), _powers(x.block - 1, x.t - f))
        equations = [np.asarray(1.0)]
        for i in range(4):  # 1 / (1 + z)^(n - k - 1)
            equations.append(-equations[-1] * (x.n - x.k - 1 + i) / (i + 1))
        series = _product(monomials, equations)
        good = f * mu <= x.k
        self.guess = np.where(good, -f * np.log2(1 - mu / x.block), np.inf)
        self.unknowns = np.maximum(x.k + 1 - f * mu, 1)
        self.size = {d: np.maximum(sum(monomials[1 : d + 1]), 1) for d in (2, 3, 4)}
        self.stops = {d: np.min(np.stack(series[2 : d + 1]), axis=0) < 1 for d in (2, 3, 4)}
        sums = {d: sum(series[1 : d + 1]) for d in (2, 3, 4)}
        self.left = {d: np.maximum(sums[d], 1) for d in (2, 3, 4)}
        self.solved = {d: np.minimum.reduce([sums[e] for e in range(2, d + 1)]) < 1 for d in (2, 3, 4)}


def algebraic(x: Instance) -> float:
    """Linearisation after guesses: sparse elimination, 3 (k + 1 - f mu) times the square of the monomials."""
    m = _Macaulay(x)
    costs = [
        np.where(m.stops[d], 2 * np.log2(m.size[d]) + np.log2(3 * m.unknowns) + m.guess, np.inf).min()
        for d in (2, 3, 4)
    ]
    return float(min(costs))


def algebraic_2(x: Instance) -> float:
    """Two nested guesses: what the first leaves is eliminated once and used for every second one."""
    m = _Macaulay(x)
    best = np.inf
    for d in (2, 3, 4):
        # The cheapest second guess (f, mu) that contains the first.
        second = np.where(m.solved[d], m.guess, np.inf)[::-1, ::-1]
        second = np.minimum.accumulate(np.minimum.accumulate(second, 0), 1)[::-1, ::-1]
        size, left = m.size[d], m.left[d]
        rank = np.maximum(size - left, 1)
        dense = _DENSE + _STRASSEN * np.log2(size)
        steps = np.log2(size) + 2 * np.log2(rank) - np.log2(np.log2(np.maximum(rank, 2)))
        first = np.minimum(dense, steps) + m.guess
        again = _DENSE + _STRASSEN * np.log2(np.minimum(left, rank)) + second
        best = min(best, float(_sum2(first, again).min()))
    return best


def hybrid(x: Instance) -> float:
    """Guess u or u + 1 places in every block but q, enumerate those q, solve the rest as a quadratic system."""
    x = x.cut
    return min(_hybrid_at(x, u) for u in range(x.block - 2))


def _hybrid_at(x: Instance, u: int) -> float:
    n, k, t, beta = x.n, x.k, x.t, x.block
    q = np.arange(0, min(t, int(_BEYOND / np.log2(beta))))[:, None]
    f = np.arange(0, t, dtype=float)
    plain = t - q - f
    good = (plain > 0) & (n - t - f - (t - q) * u > 0)
    probability = np.log2(1 - (u + 1) / beta) * f + np.log2(1 - u / beta) * plain
    unknowns = k - t - (u + 1) * f - plain * u
    rows = n - k - (n - k) // (beta - 1) * (beta - u - 2)
    linear = np.log2(np.maximum(rows * float(n - k) * (rows + unknowns), 1))
    quadrics = plain * (beta - u - 2) * (beta - u - 1) / 2 + f * (beta - u - 2) * (beta - u - 3) / 2
    w = (beta - 1.0) * q
    v = unknowns - w
    solvable = (v >= 0) & (v <= np.sqrt(np.maximum(2 * quadrics, 0)) - 2)
    nothing = v == 0
    v = np.maximum(v, 1)
    build = np.log2(np.maximum(v**4 * np.maximum(unknowns, 1) ** 2 / 8 / np.log2(np.maximum(v * v / 2, 2)), 1))
    build = np.where(nothing, 0, build)
    solve = 1.25 * (2 * v * v * w + v * w * w) + (2.5 * v) ** 3 / np.log2(np.maximum(2.5 * v, 2))
    solve = np.where(nothing, 1, np.maximum(solve, 1))
    system = _sum2(linear, build, np.log2(solve) + np.log2(beta) * q)
    cost = np.where(unknowns <= 0, linear, np.where(solvable, system, np.inf)) - probability
    return float(np.where(good, cost, np.inf).min())


ATTACKS: dict[str, Callable[[Instance], float]] = {
    "gauss": gauss,
    "statistical": statistical,
    "statistical_2": statistical_2,
    "isd": isd,
    "bjmm": bjmm,
    "regular_permutation": regular_permutation,
    "regular_enumeration": regular_enumeration,
    "regular_representation": regular_representation,
    "algebraic": algebraic,
    "algebraic_2": algebraic_2,
    "hybrid": hybrid,
}


def estimate(x: Instance) -> dict[str, float]:
    """log2 of the bit operations of every attack."""
    return {name: round(attack(x), 2) for name, attack in ATTACKS.items()}


def main() -> None:
    """Print or write the estimates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instance", nargs="*", type=int, help="N K T of another instance")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.instance:
        print(json.dumps(estimate(Instance(*options.instance)), indent=2))
        return
    sets = {
        "LARGE": Instance(LARGE.trees << LARGE.depth, LARGE.secret, LARGE.trees),
        "SMALL": Instance(SMALL.trees << SMALL.depth, SMALL.secret, SMALL.trees),
    }
    rows = {}
    for name, x in sets.items():
        bits = estimate(x)
        rows[name] = {"n": x.n, "k": x.k, "t": x.t, "least": min(bits.values()), "bits": bits}
    command = "scripts/lpn_estimate.py --out docs/reference/lpn-estimate.json"
    report = {"command": command, "unit": "log2 bit operations"}
    text = json.dumps(report | {"sets": rows}, indent=2) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
