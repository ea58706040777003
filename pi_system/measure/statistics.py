"""95 % intervals for what a benchmark reports: bootstrap over its repetitions.

Every interval is the percentile bootstrap's with two corrections. A handful of repetitions understates its own
spread, so the percentiles are moved outwards as Student's t does for means ("expanded percentile": Hesterberg, What
Teachers Should Know about the Bootstrap, The American Statistician 2015, section 4.3.2); from few samples that is
their whole range. And what a run adds to all its repetitions alike (where processes landed in memory, the clock of
the day) no resampling can see: ``BETWEEN_RUNS`` is added to both sides.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import ConfigError

__all__ = [
    "BETWEEN_RUNS",
    "Interval",
    "mean_interval",
    "median_interval",
    "quotient",
    "ratio_interval",
    "slope_interval",
]

BETWEEN_RUNS: Final = 0.02
"""Share by which medians of repeated runs of the same thing differ on a quiet machine."""

_LEVEL: Final = 0.95
_RESAMPLES: Final = 2000
_SEED: Final = 20

_Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """In another unit; ``factor`` is positive."""
        return Interval(factor * self.value, factor * self.low, factor * self.high)


def quotient(a: Interval, b: Interval) -> Interval | None:
    """A / b of two estimates, at least as wide as its 95 % interval; None if ``a`` or ``b`` may be 0 or less."""
    if a.low <= 0 or b.low <= 0:
        return None
    return Interval(a.value / b.value, a.low / b.high, a.high / b.low)


def median_interval(samples: Sequence[float], *, between_runs: float = BETWEEN_RUNS) -> Interval:
    """Median of repetitions of one thing.

    Args:
        samples: one a repetition.
        between_runs: share of the value added on both sides.

    Raises:
        ConfigError: no samples.
    """
    return _bootstrap([_array(samples)], lambda drawn: np.median(drawn[0], axis=-1), between_runs)


def mean_interval(samples: Sequence[float], *, between_runs: float = BETWEEN_RUNS) -> Interval:
    """Mean; arguments and errors as ``median_interval``."""
    return _bootstrap([_array(samples)], lambda drawn: drawn[0].mean(axis=-1), between_runs)


def ratio_interval(
    a: Sequence[float], b: Sequence[float], *, paired: bool = True, between_runs: float = BETWEEN_RUNS
) -> Interval:
    """A / b: how many times as long ``a`` takes.

    Args:
        a: one sample a repetition.
        b: the same of what it is compared with.
        paired: both were taken in turn within each repetition, so that what disturbed one disturbed the other:
            median of the repetitions' ratios. Otherwise ratio of the two medians, resampled apart.
        between_runs: share of the value added on both sides.

    Raises:
        ConfigError: no samples, or a different number of them if paired.
    """
    first, second = _array(a), _array(b)
    if not paired:
        return _bootstrap(
            [first, second],
            lambda drawn: np.median(drawn[0], axis=-1) / np.median(drawn[1], axis=-1),
            between_runs,
        )
    if len(first) != len(second):
        raise ConfigError(f"paired samples: expected as many of both, found {len(first)} and {len(second)}")
    return median_interval(list(first / second), between_runs=between_runs)


def slope_interval(
    x: Sequence[float], samples_per_x: Sequence[Sequence[float]], *, between_runs: float = BETWEEN_RUNS
) -> Interval:
    """Least-squares slope of the medians over ``x``: what one more of ``x`` costs.

    Args:
        x: at least two different places.
        samples_per_x: repetitions at each of them, resampled apart.
        between_runs: share of the values added on both sides, as that of the slope between the two outermost places
            if the run shifted one of them.

    Raises:
        ConfigError: fewer than two places, or no samples at one.
    """
    places = np.asarray(x, dtype=np.float64)
    if len(places) != len(samples_per_x) or len(set(places)) < 2:
        raise ConfigError(f"slope: expected samples at two places or more, found {len(set(places))} places")
    centred = places - places.mean()
    weights = centred / (centred**2).sum()
    groups = [_array(samples) for samples in samples_per_x]

    def slope(drawn: list[_Floats]) -> _Floats:
        return np.asarray(sum(w * np.median(s, axis=-1) for w, s in zip(weights, drawn, strict=True)))

    interval = _bootstrap(groups, slope, 0.0)
    # Each place may be off by its own share, independently of the others.
    shift = math.sqrt(sum((w * np.median(s) * between_runs) ** 2 for w, s in zip(weights, groups, strict=True)))
    return Interval(interval.value, interval.low - shift, interval.high + shift)


def _array(samples: Sequence[float]) -> _Floats:
    if len(samples) == 0:
        raise ConfigError("statistics: expected at least one sample, found none")
    return np.asarray(samples, dtype=np.float64)


def _bootstrap(groups: list[_Floats], statistic: Callable[[list[_Floats]], _Floats], between_runs: float) -> Interval:
    """``statistic`` reduces the last axis of every group; the resamples are in the first."""
    # The secure arm's generator has no place here: nothing is secret, and intervals must be the same every time.
    rng = np.random.default_rng(_SEED)  # noqa: TID251
    value = float(statistic(groups))
    drawn = [group[rng.integers(0, len(group), (_RESAMPLES, len(group)))] for group in groups]
    tail = _tail(min(len(group) for group in groups))
    low, high = np.quantile(statistic(drawn), (tail, 1 - tail))
    margin = between_runs * abs(value)
    return Interval(value, min(float(low), value) - margin, max(float(high), value) + margin)


def _tail(count: int) -> float:
    """Share of resamples left out on either side, for ``count`` repetitions."""
    if count < 2:
        return 0.0
    t = _student_t(1 - (1 - _LEVEL) / 2, count - 1)
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * t)


def _student_t(share: float, freedom: int) -> float:
    """Quantile of Student's t, within 3 % from two degrees of freedom on (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum((term / freedom**power for power, term in enumerate(terms)), 0.0)
