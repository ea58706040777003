"""The arithmetic of the arrival-rate experiment: schedules, queues, percentiles, and the largest rate that holds."""

import math

import numpy as np
import pytest
from measuring.arrivals import (
    Request,
    next_rate,
    percentile,
    poisson_schedule,
    promised_rate,
    queue_lengths,
    simulate,
    split,
    sustainable_rate,
)
from measuring.client_process import FifoQueue

from pi_system.errors import ConfigError


def served(arrival_s: float, begin_s: float, end_s: float) -> Request:
    return Request(arrival_s=arrival_s, begin_s=begin_s, end_s=end_s, state="served")


# ---- schedule


def test_a_schedule_is_poisson_of_its_rate() -> None:
    gaps = np.diff(poisson_schedule(50.0, 200.0, seed=3))
    assert len(gaps) == pytest.approx(10_000, rel=0.04)  # 4 standard deviations
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.04)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # a regular one has none
    assert np.mean(gaps > 0.02) == pytest.approx(math.exp(-1), abs=0.02)


def test_a_schedule_is_its_seeds() -> None:
    assert poisson_schedule(5.0, 10.0, seed=1) == poisson_schedule(5.0, 10.0, seed=1)
    assert poisson_schedule(5.0, 10.0, seed=1) != poisson_schedule(5.0, 10.0, seed=2)
    assert all(0 <= t < 10.0 for t in poisson_schedule(5.0, 10.0, seed=1))


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


# ---- queue


def test_a_queue_counts_those_that_have_not_begun() -> None:
    queue = FifoQueue(limit=2)
    queue.begun(0.0)
    queue.begun(5.0)
    assert [queue.waiting(t) for t in (0.0, 1.0, 4.9, 5.0)] == [1, 1, 1, 0]


def test_a_full_queue_refuses_and_one_that_moved_on_does_not() -> None:
    queue = FifoQueue(limit=2)
    for begin_s in (0.0, 5.0, 10.0):
        queue.begun(begin_s)
    assert not queue.admits(1.0)
    assert queue.admits(5.0)


def test_a_queue_is_first_come_first_served() -> None:
    queue = FifoQueue(limit=2)
    queue.begun(3.0)
    with pytest.raises(ConfigError, match=r"from 3\.0 on"):
        queue.begun(2.0)


def test_queue_lengths_leave_the_refused_out_and_keep_the_unfinished() -> None:
    requests = [
        served(0.0, 0.0, 4.0),
        served(1.0, 4.0, 8.0),
        Request(arrival_s=2.0, begin_s=None, end_s=None, state="refused"),
        Request(arrival_s=3.0, begin_s=None, end_s=None, state="unfinished"),
        served(5.0, 8.0, 9.0),
        served(20.0, 20.0, 21.0),
    ]
    assert queue_lengths(requests) == [0, 0, 1, 1, 1, 1]


def test_simulated_requests_wait_for_the_one_ahead() -> None:
    done = simulate([0.0, 1.0, 1.5, 10.0], [2.0])
    assert [(r.begin_s, r.end_s) for r in done] == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (10.0, 12.0)]
    assert [r.latency_s for r in done] == [2.0, 3.0, 4.5, 2.0]
    assert queue_lengths(done) == [0, 0, 1, 0]


# ---- percentile


def test_the_percentile_is_the_nearest_rank() -> None:
    assert percentile([float(n) for n in range(1, 101)]) == 95.0
    assert percentile([3.0, 1.0, 2.0], share=0.5) == 2.0
    assert percentile([]) == 0.0


def test_a_request_without_a_result_is_later_than_any_bound() -> None:
    lost = Request(arrival_s=0.0, begin_s=None, end_s=None, state="unfinished")
    assert percentile([0.1] * 18 + [lost.latency_s]) == math.inf
    assert percentile([0.1] * 19 + [lost.latency_s]) == 0.1


# ---- the search


def search(capacity: float, first: float, refine: int = 2, limit: int = 12) -> dict[float, bool]:
    tried: dict[float, bool] = {}
    while (rate := next_rate(tried, first, factor=1.5, refine=refine, limit=limit)) is not None:
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


def test_the_search_ends_at_its_limit_even_without_saturation() -> None:
    assert len(search(capacity=math.inf, first=1.0, limit=5)) == 5
    assert len(search(capacity=0.0, first=1.0, limit=5)) == 5


# ---- the largest rate


def trials(
    capacity: float, rates: list[float], repeat: int, duration_s: float = 60.0
) -> dict[float, list[list[float]]]:
    """Latencies of a server that takes 1 / capacity seconds a request."""
    return {
        rate: [
            [r.latency_s for r in simulate(poisson_schedule(rate, duration_s, seed=10 * k + int(rate)), [1 / capacity])]
            for k in range(repeat)
        ]
        for rate in rates
    }


def test_the_sustainable_rate_is_found_between_those_that_held_and_those_that_did_not() -> None:
    found, saturated = sustainable_rate(trials(10.0, [4.0, 6.0, 8.0, 12.0, 16.0], repeat=4), bound_s=1.0)
    assert saturated
    assert 8.0 <= found.low <= found.value <= found.high <= 12.0
    assert found.low < found.high


def test_twice_the_server_sustains_twice_the_rate() -> None:
    one, _ = sustainable_rate(trials(10.0, [6.0, 8.0, 12.0], repeat=2), bound_s=1.0)
    two, _ = sustainable_rate(trials(20.0, [12.0, 16.0, 24.0], repeat=2), bound_s=1.0)
    assert two.low > one.high


def test_a_higher_rate_that_held_by_luck_does_not_count() -> None:
    fast, slow = [[0.1] * 20], [[5.0] * 20]
    found, saturated = sustainable_rate({1.0: fast, 2.0: slow, 3.0: fast}, bound_s=1.0)
    assert saturated
    assert found.high == 2.0
    assert 1.0 <= found.value < 2.0


def test_repetitions_that_disagree_widen_the_interval() -> None:
    fast, slow = [0.1] * 20, [5.0] * 20
    found, _ = sustainable_rate({1.0: [fast, fast], 2.0: [fast, slow], 3.0: [slow, slow]}, bound_s=1.0)
    assert (found.low, found.high) == (1.0, 3.0)


def test_without_saturation_the_rate_is_a_lower_limit() -> None:
    found, saturated = sustainable_rate({1.0: [[0.1]], 2.0: [[0.2]]}, bound_s=1.0)
    assert (found.value, found.low, found.high, saturated) == (2.0, 2.0, 2.0, False)


def test_no_rate_holds() -> None:
    found, saturated = sustainable_rate({1.0: [[math.inf]], 2.0: [[math.inf]]}, bound_s=1.0)
    assert (found.value, found.low, found.high, saturated) == (0.0, 0.0, 1.0, True)
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
