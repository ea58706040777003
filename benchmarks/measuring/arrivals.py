"""Arrivals, queues and the largest rate that holds: the arithmetic of the arrival-rate experiment, without a process.

Open loop: requests come when a schedule says so, whether earlier ones are done or not, and a latency counts from the
scheduled arrival. A request that was refused, or not done when the experiment ended, has no latency and counts as
later than any bound. Times are seconds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from measuring.statistics import Interval

from pi_system.errors import ConfigError

State = Literal["served", "refused", "unfinished"]
RESAMPLES = 1000
SHARE = 0.95
"""Of requests that must be within the bound."""


class Request(TypedDict):
    """What became of one request; ``begin_s`` and ``end_s`` are None where it did not come that far."""

    arrival_s: float
    begin_s: float | None
    end_s: float | None
    state: State


def latency_s(request: Request) -> float:
    """From arrival to result; infinite where there is none."""
    return math.inf if request["end_s"] is None else request["end_s"] - request["arrival_s"]


def latencies_s(trial: Mapping[str, Any]) -> list[float]:
    """Of all requests of a trial."""
    return [latency_s(request) for request in trial["requests"]]


def poisson_schedule(rate_per_s: float, duration_s: float, seed: int) -> tuple[float, ...]:
    """Arrival times in [0, duration) of a Poisson process; the same for the same seed. Raises ConfigError."""
    if not 0 < rate_per_s < math.inf or not 0 < duration_s < math.inf:
        raise ConfigError(f"schedule: expected a positive rate and duration, found {rate_per_s} and {duration_s}")
    rng, times, now = np.random.default_rng(seed), list[float](), 0.0
    while (now := now + rng.exponential(1 / rate_per_s)) < duration_s:
        times.append(now)
    return tuple(times)


def split(schedule: Sequence[float], clients: int, seed: int) -> list[list[float]]:
    """Each arrival to a client drawn at random: independent Poisson streams of rate / clients."""
    chosen = np.random.default_rng(seed).integers(0, clients, len(schedule))
    return [[t for t, client in zip(schedule, chosen, strict=True) if client == index] for index in range(clients)]


def queue_lengths(requests: Sequence[Request]) -> list[int]:
    """At each arrival, how many others had arrived, were not refused, and had not begun."""
    waited = [r for r in requests if r["state"] != "refused"]
    spans = [(r["arrival_s"], math.inf if r["begin_s"] is None else r["begin_s"]) for r in waited]
    return [sum(arrival < r["arrival_s"] < begin for arrival, begin in spans) for r in requests]


def simulate(schedule: Sequence[float], service_s: Sequence[float]) -> list[float]:
    """Latencies at one server, first come first served, request i taking ``service_s[i % len]``; none is refused."""
    free_s, out = 0.0, []
    for index, arrival_s in enumerate(schedule):
        free_s = max(arrival_s, free_s) + service_s[index % len(service_s)]
        out.append(free_s - arrival_s)
    return out


def percentile(latencies_s: Sequence[float], share: float = SHARE) -> float:
    """The smallest latency that at least ``share`` of the requests do not exceed (nearest rank); 0 of none."""
    if not latencies_s:
        return 0.0
    return sorted(latencies_s)[max(0, math.ceil(share * len(latencies_s)) - 1)]


def next_rate(tried: Mapping[float, bool], first: float, *, factor: float, refine: int, limit: int) -> float | None:
    """The rate to try after ``tried`` (did it hold?): out from ``first`` to both sides of saturation, then between.

    Steps outwards are by ``factor``, the gap is halved ``refine`` times, and ``limit`` rates are tried at most.
    """
    if not tried:
        return first
    if len(tried) >= limit:
        return None
    if all(tried.values()):
        return max(tried) * factor
    low, high = _bracket(tried)
    if low == 0.0:
        return min(tried) / factor
    return math.sqrt(low * high) if high / low > factor ** (0.6 / refine if refine else 1.01) else None


def _bracket(held: Mapping[float, bool]) -> tuple[float, float]:
    """The largest rate up to which every tried one held (0: none), and the one after it (inf: none)."""
    low = 0.0
    for rate in sorted(held):
        if not held[rate]:
            return low, rate
        low = rate
    return low, math.inf


def sustainable_rate(trials: Mapping[float, Sequence[Sequence[float]]], bound_s: float) -> tuple[Interval, bool]:
    """The largest rate whose 95th percentile of latency is within the bound, and whether saturation was reached.

    The estimate lies between the last rate that held and the first that did not, interpolated on the logarithm of the
    percentile; without saturation it is only a lower limit. Its interval covers both, over resamples of each rate's
    repetitions. ``trials``: latencies by rate, a sequence a repetition. Raises ConfigError: nothing was tried.
    """
    if not trials:
        raise ConfigError("sustainable rate: expected at least one tried rate, found none")
    rng = np.random.default_rng(0)
    ends = [_ends(trials, bound_s, lambda n: rng.integers(0, n, n).tolist()) for _ in range(RESAMPLES)]
    low, high = _ends(trials, bound_s, lambda n: list(range(n)))
    value = _interpolate(trials, bound_s, low, high)
    lows, highs = np.array(ends).T
    return (
        Interval(value, min(low, float(np.quantile(lows, 0.025))), max(high, float(np.quantile(highs, 0.975)))),
        high > low,
    )


def _ends(
    trials: Mapping[float, Sequence[Sequence[float]]], bound_s: float, draw: Callable[[int], list[int]]
) -> tuple[float, float]:
    held = {rate: _p95(runs, draw(len(runs))) <= bound_s for rate, runs in trials.items()}
    low, high = _bracket(held)
    return low, low if math.isinf(high) else high


def _p95(runs: Sequence[Sequence[float]], chosen: Sequence[int]) -> float:
    return percentile([latency for index in chosen for latency in runs[index]])


def _interpolate(trials: Mapping[float, Sequence[Sequence[float]]], bound_s: float, low: float, high: float) -> float:
    if low in (0.0, high):
        return low
    ends = [_p95(trials[rate], range(len(trials[rate]))) for rate in (low, high)]
    below, above = max(ends[0], bound_s / 1000), min(ends[1], bound_s * 1000)
    return low + (high - low) * math.log(bound_s / below) / math.log(above / below)


def promised_rate(online_s: Sequence[float], clients: int, bound_s: float, *, duration_s: float) -> Interval:
    """The rate that would hold if material cost nothing: each client's queue simulated with measured online times."""
    rng = np.random.default_rng(0)
    values = []
    for attempt in range(21):
        drawn = list(online_s) if attempt == 0 else rng.choice(online_s, len(online_s)).tolist()
        values.append(_largest(drawn, clients, bound_s, duration_s, attempt))
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(values[0], min(float(low), values[0]), max(float(high), values[0]))


def _largest(online_s: Sequence[float], clients: int, bound_s: float, duration_s: float, seed: int) -> float:
    """Bisection between nothing and twice what the mean online time allows."""
    low, high = 0.0, 2 * clients / float(np.mean(online_s))
    for _ in range(10):
        rate = (low + high) / 2
        streams = split(poisson_schedule(rate, duration_s, seed), clients, seed)
        done = [latency for stream in streams for latency in simulate(stream, online_s)]
        low, high = (rate, high) if percentile(done) <= bound_s else (low, rate)
    return low
