"""One request after another, and what is kept prepared meanwhile."""

import json
import threading
from concurrent.futures import CancelledError

import pytest
from gateways import FakePrivate, gateway_of, pixels_request

from pi_client.gateway.request_queue import RequestQueue
from pi_client.gateway.rest_messages import read_request
from pi_client.gateway.stock import Stock
from pi_system.errors import BusyError, PeerUnavailableError


def test_so_many_wait_and_not_more() -> None:
    queue, go = RequestQueue(waiting=1), threading.Event()
    first = queue.submit(lambda: go.wait(10))
    second = queue.submit(lambda: "second")
    with pytest.raises(BusyError, match="expected at most 2 requests at once"):
        queue.submit(lambda: None)
    second.cancel()
    third = queue.submit(lambda: "third")
    go.set()
    assert (first.result(10), third.result(10)) == (True, "third")
    queue.close()


def test_a_queue_that_closes_drops_who_waits_and_lets_the_work_end() -> None:
    queue, go, begun = RequestQueue(waiting=1), threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return go.wait(10)

    first = queue.submit(work)
    second = queue.submit(lambda: None)
    assert begun.wait(10)
    queue.refuse()
    with pytest.raises(PeerUnavailableError, match="stopping"):
        queue.submit(lambda: None)
    threading.Timer(0.05, go.set).start()
    queue.close()
    assert first.result(0) is True
    with pytest.raises(CancelledError):
        second.result(0)


def test_a_gateway_that_stops_is_not_ready_and_takes_nothing() -> None:
    gateway = gateway_of(FakePrivate())
    asked, _ = read_request("tiny", "", _json(pixels_request([[[[0, 0], [0, 0]]]])), None)
    assert gateway.submit(asked).result(10).outputs[0].values == [b"yes"]
    assert gateway.ready()
    gateway.stop()
    assert not gateway.ready()
    with pytest.raises(PeerUnavailableError, match="stopping"):
        gateway.submit(asked)


def test_health_is_asked_once_a_second() -> None:
    asked: list[None] = []
    gateway = gateway_of(FakePrivate(), check=lambda: asked.append(None))
    assert [gateway.ready() for _ in range(5)] == [True] * 5
    assert len(asked) == 1


def test_stock_is_filled_at_first_and_when_something_was_used() -> None:
    filled, goals = threading.Semaphore(0), []

    def prepare(goal: int) -> int:
        goals.append(goal)
        filled.release()
        return goal

    with Stock(prepare, 5) as stock:
        assert filled.acquire(timeout=10)
        stock.used()
        assert filled.acquire(timeout=10)
    assert goals == [5, 5]


def test_a_preparation_that_fails_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tried, done = [], threading.Event()

    def prepare(goal: int) -> int:
        tried.append(goal)
        if len(tried) == 1:
            raise BusyError("server: no place")
        done.set()
        return goal

    with Stock(prepare, 3, again_s=0.01):
        assert done.wait(10)
    assert "server: no place" in caplog.text


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
