"""The order of a gate's messages: what every turn waits for comes before it, and both parties agree without a word."""

from itertools import product

import pytest

from pi_system.secure.turns import CHUNK, turns

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
