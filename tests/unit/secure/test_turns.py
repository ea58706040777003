"""The order of a gate's messages: what every turn waits for comes before it, and both parties agree without a word."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from pi_system.channel.memory import memory_pair
from pi_system.secure.turns import CHUNK, serve, turns

CASES = list(product([1, 31, 64, 100], [1, 2, 3], [1, 3]))


@pytest.mark.parametrize(("count", "round_trips", "batch"), CASES)
def test_every_message_is_sent_answered_and_received_once_in_this_order(
    count: int, round_trips: int, batch: int
) -> None:
    found = list(turns(count, round_trips, batch, size=32))
    places = {turn: at for at, turn in enumerate(found)}
    assert len(places) == len(found)
    sent = [turn for turn in found if turn.step == "send"]
    assert len(found) == 3 * len(sent)
    for turn in sent:
        reply, receive = (turn._replace(step=step) for step in ("reply", "receive"))
        assert places[turn] < places[reply] < places[receive]
        if turn.exchange:
            assert places[turn] == places[receive._replace(exchange=turn.exchange - 1)] + 1
    elements = sorted((t.exchange, t.picture, i) for t in sent for i in range(t.first, t.first + t.length))
    assert elements == list(product(range(round_trips), range(batch), range(count)))


@pytest.mark.parametrize(("count", "round_trips", "batch"), CASES)
def test_messages_and_replies_go_in_one_order(count: int, round_trips: int, batch: int) -> None:
    """A channel keeps the order, and nobody says which message is which."""
    found = list(turns(count, round_trips, batch, size=32))
    orders = [[turn[1:] for turn in found if turn.step == step] for step in ("send", "reply", "receive")]
    assert orders[0] == orders[1] == orders[2]


def test_all_of_an_exchange_is_sent_before_its_first_reply_is_read() -> None:
    steps = [turn.step for turn in turns(5 * CHUNK, 1)]
    assert steps == ["send"] * 5 + ["reply"] * 5 + ["receive"] * 5


class _Gate:
    """Party 0 of a gate of two exchanges that writes down what it is asked for."""

    round_trips = 2

    def __init__(self, done: list[str]):
        self._done = done

    def load(self, first: int, share: Any) -> None:
        self._done.append(f"load {first}")

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        return memoryview(b"m")

    def work(self, exchange: int, first: int, count: int) -> None:
        self._done.append(f"work {exchange} {first}")

    def reply_bytes(self, exchange: int, count: int) -> int:
        return 1

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        self._done.append(f"receive {exchange} {first}")

    def result(self) -> Any:
        return np.zeros(1, np.uint32)


def test_the_server_does_other_work_once_when_everything_has_left_that_needs_no_answer() -> None:
    server, client = memory_pair()
    for _ in range(4):
        client.send(b"r")
    done: list[str] = []
    gate: Any = _Gate(done)
    serve(
        [gate], 2 * CHUNK, lambda first, length: np.zeros((1, length), np.uint32), server, lambda: done.append("other")
    )
    expected = ["load 0", "work 0 0", f"load {CHUNK}", f"work 0 {CHUNK}", "other", "receive 0 0", "work 1 0"]
    assert done[:7] == expected
    assert done.count("other") == 1
