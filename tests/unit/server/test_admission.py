"""Places, tickets and turns, on a clock of the test's own."""

from typing import Any

import pytest

from pi_server.admission import Admission
from pi_system.errors import BusyError


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Any:
    return Clock()


def admission(clock: Any, places: int = 2, preparing: int = 1, **options: Any) -> Any:
    return Admission(places, preparing, clock=clock, **options)


def enter(desk: Any, session: Any, client: str = "a", ticket: str = "", prepares: bool = False) -> Any:
    return desk.enter(session, client, ticket, prepares=prepares)


def test_places_are_given_until_they_are_taken(clock: Any) -> None:
    desk = admission(clock)
    assert enter(desk, 1) is None
    assert enter(desk, 2) is None
    busy = enter(desk, 3)
    assert isinstance(busy, BusyError)
    assert busy.ticket
    assert 0 < busy.retry_s <= 20
    assert (desk.taken, desk.waiting, desk.granted, desk.refused) == (2, 1, 2, 1)


def test_a_worker_with_a_session_gets_no_second(clock: Any) -> None:
    desk = admission(clock)
    assert enter(desk, 1) is None
    assert enter(desk, 1, "b").ticket
    assert desk.taken == 1


def test_who_came_first_is_first_whoever_asks_first(clock: Any) -> None:
    desk = admission(clock, places=1)
    enter(desk, 1)
    first = enter(desk, 2, "b")
    clock.now_s += 0.1
    second = enter(desk, 3, "c")
    desk.leave(1)
    clock.now_s += first.retry_s
    assert enter(desk, 3, "c", second.ticket) is not None
    assert enter(desk, 4, "newcomer") is not None
    assert enter(desk, 2, "b", first.ticket) is None


def test_a_place_is_not_kept_for_long_for_who_does_not_come(clock: Any) -> None:
    desk = admission(clock, places=1)
    enter(desk, 1)
    enter(desk, 2, "b")
    clock.now_s += 0.1
    second = enter(desk, 3, "c")
    desk.leave(1)
    clock.now_s += second.retry_s
    assert enter(desk, 3, "c", second.ticket) is None


def test_no_place_stands_free_for_one_who_was_told_to_come_later(clock: Any) -> None:
    desk = admission(clock, places=1)
    enter(desk, 1)
    first = enter(desk, 2, "b")
    clock.now_s += first.retry_s
    sleeper = enter(desk, 2, "b", first.ticket)
    waits = [enter(desk, 3, "c").retry_s, sleeper.retry_s]
    desk.leave(1)
    clock.now_s += min(waits) - 0.4
    assert enter(desk, 4, "d") is None


def test_asking_often_does_not_help(clock: Any) -> None:
    desk = admission(clock, places=1)
    enter(desk, 0)
    told = {client: enter(desk, client, client) for client in "abcdefgh"}
    served = []
    for tick in range(1, 2000):
        clock.now_s += 0.01
        if tick % 50 == 0:
            desk.leave(0)
        if enter(desk, 0, "pusher") is None:
            served.append("pusher")
        for client, busy in list(told.items()):
            if busy.retry_s <= tick * 0.01 and desk.taken == 0 and enter(desk, 0, client, busy.ticket) is None:
                served.append(client)
                del told[client]
    assert served.count("pusher") < len(served) / 2


def test_who_holds_places_comes_after_who_holds_none(clock: Any) -> None:
    desk = admission(clock)
    enter(desk, 1, "greedy")
    enter(desk, 2, "greedy")
    greedy = enter(desk, 3, "greedy")
    clock.now_s += 0.1
    modest = enter(desk, 4, "modest")
    desk.leave(1)
    clock.now_s += modest.retry_s
    assert enter(desk, 3, "greedy", greedy.ticket) is not None
    assert enter(desk, 4, "modest", modest.ticket) is None


def test_a_ticket_is_of_one_client(clock: Any) -> None:
    desk = admission(clock, places=1)
    enter(desk, 1)
    first = enter(desk, 2, "b")
    desk.leave(1)
    clock.now_s += first.retry_s
    assert enter(desk, 3, "thief", first.ticket) is not None
    assert enter(desk, 2, "b", first.ticket) is None


def test_offline_phases_leave_places_to_inference(clock: Any) -> None:
    desk = admission(clock, places=3, preparing=2)
    assert enter(desk, 1, "a", prepares=True) is None
    assert enter(desk, 2, "b", prepares=True) is None
    assert enter(desk, 3, "c", prepares=True) is not None
    assert enter(desk, 4, "d") is None


def test_a_session_that_wants_to_prepare_may_have_to_come_again(clock: Any) -> None:
    desk = admission(clock, places=3, preparing=1)
    for session, client in ((1, "a"), (2, "b")):
        assert enter(desk, session, client) is None
    assert desk.prepare(1) is None
    assert desk.prepare(1) is None
    busy = desk.prepare(2)
    desk.leave(2)
    assert enter(desk, 3, "b", busy.ticket, prepares=True) is not None
    desk.prepared(1)
    assert enter(desk, 3, "b", busy.ticket, prepares=True) is None
    assert desk.preparing == 1
    assert desk.taken == 2


def test_who_has_a_place_may_prepare_while_others_wait_for_one(clock: Any) -> None:
    desk = admission(clock, places=1, preparing=1)
    enter(desk, 1, "a")
    assert enter(desk, 2, "b", prepares=True) is not None
    assert desk.prepare(1) is None


def test_who_waits_is_bounded_and_forgotten(clock: Any) -> None:
    desk = admission(clock, places=1, max_waiting=2)
    enter(desk, 1)
    for client in "bc":
        assert enter(desk, client, client).ticket
    assert enter(desk, "d", "d").ticket == ""
    clock.now_s += 60
    assert desk.waiting == 0
    assert enter(desk, "d", "d").ticket


def test_a_crowd_under_one_certificate_keeps_no_other_out(clock: Any) -> None:
    """Whatever ids it draws: places go round by certificate, and so do the tickets where all are out."""
    desk = admission(clock, places=2, max_waiting=3)

    def ask(session: Any, owner: Any, ticket: Any = "") -> Any:
        return desk.enter(session, f"{owner} {session}", ticket, prepares=False, owner=owner)

    assert ask(0, "shared") is ask(9, "shared") is None
    first, *_ = (ask(number, "shared") for number in (1, 2, 3))
    assert ask(4, "shared").ticket == ""
    alice = ask(5, "alice")
    assert alice.ticket
    assert desk.waiting == 3
    assert str(alice).endswith("0 clients are before this one")
    assert ask(6, "bob").ticket
    assert ask(7, "bob").ticket == ""  # all have one now
    clock.now_s += alice.retry_s
    desk.leave(0)
    assert ask(1, "shared", first.ticket) is not None
    assert ask(5, "alice", alice.ticket) is None


def test_the_wait_grows_with_those_before_and_the_length_of_sessions(clock: Any) -> None:
    desk = admission(clock, places=1)
    enter(desk, 0)
    waits = [enter(desk, client, str(client)).retry_s for client in range(1, 31)]
    assert waits == sorted(waits)
    assert waits[-1] == 20.0


def test_a_client_has_no_more_places_than_its_limit_and_keeps_nobody_else_waiting(clock: Any) -> None:
    desk = admission(clock, places=3)

    def ask(session: Any, owner: Any, ticket: Any = "") -> Any:
        return desk.enter(session, owner, ticket, prepares=False, owner=owner, most=1)

    assert ask(1, "alice") is None
    busy = ask(2, "alice")
    assert str(busy) == "server: client alice has its 1 sessions already"
    assert ask(3, "bob") is None
    desk.leave(1)
    assert ask(2, "alice", busy.ticket) is None


@pytest.mark.parametrize("left", range(100, 120))
def test_who_has_fewer_places_comes_next_however_often_another_asks(clock: Any, left: int) -> None:
    """Sessions of 20 s, three of four places held by one that asks all the time, also with a ticket."""
    desk = admission(clock, places=4, preparing=4)
    for _ in range(8):
        enter(desk, 0)
        clock.now_s += 20
        desk.leave(0)
    for session in range(4):
        desk.enter(session, "pusher", "", prepares=False, owner="pusher")
    pushed = desk.enter(9, "pusher", "", prepares=False, owner="pusher").ticket
    modest = desk.enter(9, "modest", "", prepares=False, owner="modest")
    came_s, asked_s = clock.now_s + modest.retry_s, clock.now_s
    for tick in range(400):
        clock.now_s += 0.1
        if tick == left:
            desk.leave(0)
        if clock.now_s >= came_s:
            modest = desk.enter(0, "modest", modest.ticket, prepares=False, owner="modest")
            if modest is None:
                break
            came_s = clock.now_s + modest.retry_s
        for ticket in ("", pushed):
            assert desk.enter(0, "pusher", ticket, prepares=False, owner="pusher") is not None
    assert modest is None
    assert clock.now_s - asked_s < 13


def test_idle_sessions_are_pressed_by_those_that_lack_a_place_alone(clock: Any) -> None:
    desk = admission(clock, places=2)
    desk.enter(1, "a", "", prepares=False, owner="a", most=1)
    assert desk.enter(2, "a", "", prepares=False, owner="a", most=1) is not None
    assert not desk.pressed
    enter(desk, 2, "b")
    assert not desk.pressed
    enter(desk, 3, "c")
    assert desk.pressed
