"""95 % intervals for what a benchmark reports: bootstrap over its repetitions.

Every interval is the percentile bootstrap's with two corrections. A handful of repetitions understates its own
spread, so the percentiles are moved outwards as Student's t does for means ("expanded percentile": Hesterberg, What
Teachers Should Know about the Bootstrap, The American Statistician 2015, section 4.3.2); from few samples that is
their whole range. And what a run adds to all its repetitions alike (where processes landed in memory, the clock of
the day) no resampling can see: ``BETWEEN_RUNS`` is added to both sides.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pi_system.errors import ConfigError

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
    """Median of repetitions, ``between_runs`` of it added on both sides. Raises ConfigError: no samples."""
    return _bootstrap([_array(samples)], lambda drawn, axis: np.median(drawn, axis=axis), between_runs)


def ratio_interval(a: Sequence[float], b: Sequence[float], *, between_runs: float = BETWEEN_RUNS) -> Interval:
    """A / b, one sample a repetition: how many times as long ``a`` takes; the median of the repetitions' ratios.

    Both were taken in turn, so that what disturbed one disturbed the other. Raises ConfigError: not as many of both.
    """
    first, second = _array(a), _array(b)
    if len(first) != len(second):
        raise ConfigError(f"paired samples: expected as many of both, found {len(first)} and {len(second)}")
    return median_interval(list(first / second), between_runs=between_runs)


def slope_interval(
    x: Sequence[float], samples_per_x: Sequence[Sequence[float]], *, between_runs: float = BETWEEN_RUNS
) -> Interval:
    """Least-squares slope of the medians over ``x``, resampled apart: what one more of ``x`` costs.

    ``between_runs`` is a share of the values, as if the run shifted each place by its own. Raises ConfigError: fewer
    than two places, or no samples at one.
    """
    places = np.asarray(x, dtype=np.float64)
    if len(places) != len(samples_per_x) or len(set(places)) < 2:
        raise ConfigError(f"slope: expected samples at two places or more, found {len(set(places))} places")
    centred = places - places.mean()
    weights = centred / (centred**2).sum()
    groups = [_array(samples) for samples in samples_per_x]

    def slope(*drawn: _Floats, axis: int) -> Any:
        return sum(w * np.median(s, axis=axis) for w, s in zip(weights, drawn, strict=True))

    interval = _bootstrap(groups, slope, 0.0)
    # Each place may be off by its own share, independently of the others.
    shift = math.sqrt(sum((w * np.median(s) * between_runs) ** 2 for w, s in zip(weights, groups, strict=True)))
    return Interval(interval.value, interval.low - shift, interval.high + shift)


def _array(samples: Sequence[float]) -> _Floats:
    if len(samples) == 0:
        raise ConfigError("statistics: expected at least one sample, found none")
    return np.asarray(samples, dtype=np.float64)


def _bootstrap(groups: list[_Floats], statistic: Callable[..., Any], between_runs: float) -> Interval:
    """Of ``statistic(*groups, axis=)``; the same samples give the same interval every time."""
    value = float(statistic(*groups, axis=-1))
    found = stats.bootstrap(
        [np.repeat(group, 2) if len(group) == 1 else group for group in groups],
        statistic,
        n_resamples=_RESAMPLES,
        confidence_level=1 - 2 * _tail(min(map(len, groups))),
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    margin = between_runs * abs(value)
    return Interval(value, min(float(found.low), value) - margin, max(float(found.high), value) + margin)


def _tail(count: int) -> float:
    """Share of resamples left out on either side, for ``count`` repetitions."""
    if count < 2:
        return 0.0
    t = stats.t.ppf(1 - (1 - _LEVEL) / 2, count - 1)
    return float(stats.norm.cdf(-math.sqrt(count / (count - 1)) * t))
