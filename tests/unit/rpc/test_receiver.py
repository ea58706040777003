from collections.abc import Callable

from pi_system.errors import PiError
from pi_system.rpc.byte_queue import ByteQueue
from pi_system.rpc.receiver import Inbox, Receiver


class Call:
    """A DirectCall whose frames come when the test says so."""

    def __init__(self) -> None:
        self.over = False
        self.asked: list[Callable[[bytes | None], None]] = []

    def send(self, frame: bytes, sent: Callable[[], None]) -> bool:
        raise NotImplementedError

    def receive(self, got: Callable[[bytes | None], None]) -> bool:
        if not self.over:
            self.asked.append(got)
        return not self.over

    def come(self, frame: bytes | None) -> None:
        self.asked.pop()(frame)


def receiver(limit_bytes: int = 1 << 20) -> tuple[Call, Inbox, Receiver, list[str]]:
    call, ends = Call(), list[str]()
    inbox: Inbox = ByteQueue(limit_bytes)
    made = Receiver(call, inbox, lambda: ends.append("end"))
    made.resume()
    return call, inbox, made, ends


def frame_of(inbox: Inbox) -> bytes:
    entry = inbox.get(0.0)
    return entry[0] if entry else b""


def test_frames_come_in_order_one_asked_for_at_a_time() -> None:
    call, inbox, made, ends = receiver()
    for frame in (b"1", b"2", b"3"):
        assert len(call.asked) == 1
        call.come(frame)
    made.resume()
    assert [frame_of(inbox) for _ in range(3)] == [b"1", b"2", b"3"]
    assert len(call.asked) == 1
    assert ends == []


def test_a_full_inbox_asks_for_no_more_until_it_is_read() -> None:
    call, inbox, made, _ = receiver(limit_bytes=3)
    call.come(b"four")
    assert call.asked == []
    made.resume()
    assert call.asked == []
    assert frame_of(inbox) == b"four"
    made.resume()
    assert len(call.asked) == 1


def test_the_end_is_told_once_whether_it_comes_or_was_there() -> None:
    call, inbox, made, ends = receiver()
    call.come(b"last")
    call.come(None)
    assert ends == ["end"]
    assert frame_of(inbox) == b"last"
    made.resume()
    assert ends == ["end"]
    call, _, _, ends = receiver()
    call.over = True
    call.come(b"last")
    assert ends == ["end"]


def test_nothing_is_asked_for_once_this_side_closed() -> None:
    call, inbox, made, ends = receiver()
    inbox.close(PiError("stopped"))
    call.come(b"late")
    made.resume()
    assert (call.asked, ends) == ([], [])
