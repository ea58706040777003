"""The driver: a half over a channel, to its end or to its first error."""

import pytest

from pi_system.channel.drive import drive
from pi_system.channel.memory import memory_pair
from pi_system.errors import PeerUnavailableError, RemoteProtocolError
from pi_system.protocols.half import Half, Send, in_turn, receive


def ask(number: int) -> Half[int]:
    yield Send(bytes([number]))
    return (yield from receive(1))[0]


def test_messages_leave_and_arrive_in_the_half_s_order() -> None:
    here, there = memory_pair(1.0)
    for answer in (7, 8):
        there.send(bytes([answer]))
    assert drive(in_turn(ask(number) for number in (1, 2)), here) == [7, 8]
    assert [bytes(there.recv(1)) for _ in range(2)] == [b"\1", b"\2"]
    assert (here.counters.sent_bytes, here.counters.received_bytes, here.counters.rounds) == (2, 2, 2)


def test_a_half_without_messages_is_run() -> None:
    assert drive(in_turn([]), memory_pair()[0]) == []


@pytest.mark.parametrize(
    ("message", "error"), [(b"long", RemoteProtocolError), (None, PeerUnavailableError)], ids=["size", "gone"]
)
def test_a_half_is_closed_at_an_error(message: bytes | None, error: type[Exception]) -> None:
    here, there = memory_pair(1.0)
    there.close() if message is None else there.send(message)
    closed = []

    def half() -> Half[int]:
        try:
            return (yield from ask(1))
        finally:
            closed.append(True)

    held = half()
    with pytest.raises(error):
        drive(held, here)
    assert closed
