"""Workers that do not start: a server that served goes on, one that never did ends."""

import pytest

from pi_server.starts import Starts
from pi_system.errors import InvariantError


def test_starts_that_fail_are_tried_again_at_longer_intervals_for_as_long_as_it_takes() -> None:
    now = [0.0]
    starts = Starts(lambda: now[0])
    starts.succeeded()
    pauses = []
    for _ in range(12):
        assert starts.due
        before_s = now[0]
        starts.failed("no memory")
        while not starts.due:
            now[0] += 0.25
        pauses.append(now[0] - before_s)
    assert pauses[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert set(pauses[6:]) == {15.0}
    starts.succeeded()
    starts.failed("no memory")
    assert starts.due


def test_a_server_of_which_no_worker_ever_started_ends() -> None:
    starts = Starts()
    for _ in range(2):
        starts.failed("no memory")
    with pytest.raises(InvariantError, match="found 3 that did not: no memory"):
        starts.failed("no memory")
