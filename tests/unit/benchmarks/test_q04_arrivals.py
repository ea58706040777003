"""The arithmetic of the arrival-rate experiment: schedules, queues, percentiles, and the largest rate that holds."""

import math
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from measuring.arrivals import (
    Request,
    latency_s,
    next_rate,
    percentile,
    poisson_schedule,
    promised_rate,
    queue_lengths,
    simulate,
    split,
    sustainable_rate,
)
from measuring.client_process import Client

from pi_system.errors import ConfigError

FAST, SLOW = [0.1] * 20, [5.0] * 20
LOST = Request(arrival_s=3.0, begin_s=None, end_s=None, state="unfinished")


def served(arrival_s: float, begin_s: float, end_s: float) -> Request:
    return Request(arrival_s=arrival_s, begin_s=begin_s, end_s=end_s, state="served")


def test_a_schedule_is_poisson_of_its_rate_and_its_seeds() -> None:
    schedule = poisson_schedule(50.0, 200.0, seed=3)
    gaps = np.diff(schedule)
    assert len(gaps) == pytest.approx(10_000, rel=0.04)  # 4 standard deviations
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.04)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # a regular one has none
    assert np.mean(gaps > 0.02) == pytest.approx(math.exp(-1), abs=0.02)
    assert all(0 <= t < 200.0 for t in schedule)
    assert poisson_schedule(50.0, 200.0, seed=3) == schedule != poisson_schedule(50.0, 200.0, seed=2)


@pytest.mark.parametrize(("rate", "duration"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)])
def test_a_schedule_without_end_is_refused(rate: float, duration: float) -> None:
    with pytest.raises(ConfigError, match="positive"):
        poisson_schedule(rate, duration, seed=0)


def test_every_arrival_goes_to_one_client() -> None:
    schedule = poisson_schedule(40.0, 50.0, seed=4)
    streams = split(schedule, 3, seed=4)
    assert sorted(t for stream in streams for t in stream) == list(schedule)
    assert all(stream == sorted(stream) for stream in streams)
    assert all(len(stream) == pytest.approx(len(schedule) / 3, rel=0.15) for stream in streams)


def test_queue_lengths_leave_the_refused_out_and_keep_the_unfinished() -> None:
    refused = Request(arrival_s=2.0, begin_s=None, end_s=None, state="refused")
    begun = [served(0.0, 0.0, 4.0), served(1.0, 4.0, 8.0)]
    requests = [*begun, refused, LOST, served(5.0, 8.0, 9.0), served(20.0, 20.0, 21.0)]
    assert queue_lengths(requests) == [0, 0, 1, 1, 1, 1]


class InstantSession:
    """A client's session with so many prepared inferences, each of which takes no time."""

    def __init__(self, prepared: int):
        self._prepared = prepared

    def available(self) -> int:
        return self._prepared

    def infer(self, pictures: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], SimpleNamespace]:
        self._prepared -= 1
        return np.zeros((len(pictures), 2)), SimpleNamespace(online_ms=1.0)


@pytest.mark.parametrize(
    ("prepared", "states"),
    [(9, ["served", "served", "refused", "served"]), (1, ["served", "unfinished", "refused", "unfinished"])],
)
def test_a_full_queue_refuses_until_it_moves_on_and_without_material_nothing_ends(
    prepared: int, states: list[str]
) -> None:
    session: Any = InstantSession(prepared)
    now_s = time.monotonic()
    command = {"serve": [0.0, 0.0, 0.0, 1.0], "start_s": now_s, "until_s": now_s + 1.2, "queue_limit": 2, "fill": None}
    found = Client(session, np.zeros((1, 1, 1, 1), np.float32)).run(command)["requests"]
    assert [request["state"] for request in found] == states
    assert all((request["end_s"] is None) == (request["state"] != "served") for request in found)


def test_simulated_requests_wait_for_the_one_ahead() -> None:
    assert simulate([0.0, 1.0, 1.5, 10.0], [2.0]) == [2.0, 3.0, 4.5, 2.0]


def test_the_percentile_is_the_nearest_rank_and_a_lost_request_later_than_any_bound() -> None:
    assert percentile([float(n) for n in range(1, 101)]) == 95.0
    assert percentile([3.0, 1.0, 2.0], share=0.5) == 2.0
    assert percentile([]) == 0.0
    assert percentile([0.1] * 18 + [latency_s(LOST)]) == math.inf
    assert percentile([0.1] * 19 + [latency_s(LOST)]) == 0.1


def search(capacity: float, first: float, limit: int = 12) -> dict[float, bool]:
    tried: dict[float, bool] = {}
    while (rate := next_rate(tried, first, factor=1.5, refine=2, limit=limit)) is not None:
        assert rate not in tried
        tried[rate] = rate <= capacity
    return tried


@pytest.mark.parametrize("first", [1.0, 6.3, 50.0])
def test_the_search_goes_from_below_to_above_saturation(first: float) -> None:
    tried = search(capacity=7.0, first=first)
    below, above = max(r for r in tried if tried[r]), min(r for r in tried if not tried[r])
    assert below <= 7.0 < above
    assert above / below < 1.5**0.5
    assert len(tried) < 12


@pytest.mark.parametrize("capacity", [math.inf, 0.0])
def test_the_search_ends_at_its_limit_even_without_saturation(capacity: float) -> None:
    assert len(search(capacity, first=1.0, limit=5)) == 5


def trials(capacity: float, rates: Sequence[float], repeat: int) -> dict[float, list[list[float]]]:
    """Latencies of a server that takes 1 / capacity seconds a request."""
    return {
        rate: [simulate(poisson_schedule(rate, 60.0, seed=10 * k + int(rate)), [1 / capacity]) for k in range(repeat)]
        for rate in rates
    }


def test_the_sustainable_rate_is_found_between_those_that_held_and_those_that_did_not() -> None:
    found, saturated = sustainable_rate(trials(10.0, [4.0, 6.0, 8.0, 12.0, 16.0], repeat=4), bound_s=1.0)
    assert saturated
    assert 8.0 <= found.low <= found.value <= found.high <= 12.0
    assert found.low < found.high
    twice, _ = sustainable_rate(trials(20.0, [12.0, 16.0, 24.0], repeat=2), bound_s=1.0)
    assert twice.low > found.high


def test_a_higher_rate_that_held_by_luck_does_not_count() -> None:
    found, saturated = sustainable_rate({1.0: [FAST], 2.0: [SLOW], 3.0: [FAST]}, bound_s=1.0)
    assert saturated
    assert found.high == 2.0
    assert 1.0 <= found.value < 2.0


def test_repetitions_that_disagree_widen_the_interval() -> None:
    found, _ = sustainable_rate({1.0: [FAST, FAST], 2.0: [FAST, SLOW], 3.0: [SLOW, SLOW]}, bound_s=1.0)
    assert (found.low, found.high) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("latency", "expected"), [(0.1, (2.0, 2.0, 2.0, False)), (math.inf, (0.0, 0.0, 1.0, True))], ids=["all", "none"]
)
def test_without_saturation_a_rate_is_a_lower_limit_and_none_may_hold(
    latency: float, expected: tuple[float, float, float, bool]
) -> None:
    found, saturated = sustainable_rate({1.0: [[latency]], 2.0: [[latency]]}, bound_s=1.0)
    assert (*found, saturated) == expected


def test_no_trials_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        sustainable_rate({}, bound_s=1.0)


def test_the_promise_follows_the_online_time_and_the_clients() -> None:
    one = promised_rate([0.1] * 8, 1, 1.0, duration_s=60.0)
    slower = promised_rate([0.2] * 8, 1, 1.0, duration_s=60.0)
    two = promised_rate([0.1] * 8, 2, 1.0, duration_s=60.0)
    assert 7.0 < one.value < 10.5  # saturation is 10 a second
    assert one.low <= one.value <= one.high
    assert slower.value < 0.6 * one.value
    assert two.value == pytest.approx(2 * one.value, rel=0.2)
    assert promised_rate([2.0], 1, 1.0, duration_s=60.0).value < 0.1  # no answer can be within the bound
