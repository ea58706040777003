import threading
from collections.abc import Callable, Iterator

import pytest

from pi_system.errors import FrameTooLargeError, PiError
from pi_system.rpc.outbox import DIRECT_BYTES, Outbox

SMALL, LARGE = b"small", bytes(DIRECT_BYTES + 1)


class Call:
    """A DirectCall whose sends end when the test says so."""

    def __init__(self, takes: bool = True):
        self.frames: list[bytes] = []
        self.threads: list[threading.Thread] = []
        self._takes = takes
        self._sent: list[Callable[[], None]] = []

    def send(self, frame: bytes, sent: Callable[[], None]) -> bool:
        if self._takes:
            self.frames.append(frame)
            self.threads.append(threading.current_thread())
            self._sent.append(sent)
        return self._takes

    def receive(self, got: Callable[[bytes | None], None]) -> bool:
        raise NotImplementedError

    def land(self) -> None:
        self._sent.pop()()


def cut(view: memoryview, tag: int) -> Iterator[bytes]:
    yield bytes(view) + bytes([tag])


def outbox(call: Call | None) -> Outbox:
    box = Outbox(1 << 20, cut)
    box.connect(call)
    return box


def put(box: Outbox, *messages: bytes) -> None:
    for message in messages:
        box.put(memoryview(message), 7, 1.0)


def test_a_small_message_leaves_in_the_thread_that_writes_it() -> None:
    call = Call()
    put(outbox(call), SMALL)
    assert call.frames == [SMALL + b"\7"]
    assert call.threads == [threading.current_thread()]


def test_one_after_the_other_leaves_so_if_the_first_has_landed() -> None:
    call = Call()
    box = outbox(call)
    put(box, b"1")
    call.land()
    put(box, b"2")
    assert call.frames == [b"1\7", b"2\7"]


@pytest.mark.parametrize("first", [SMALL, LARGE])
def test_what_is_written_behind_another_waits_for_it(first: bytes) -> None:
    """Behind a small one that has not landed; behind a large one until gRPC's thread has sent all of it."""
    call = Call()
    box = outbox(call)
    put(box, first, b"second", b"third")
    assert call.frames == ([SMALL + b"\7"] if first is SMALL else [])
    if first is SMALL:
        call.land()
    frames = box.frames()
    expected = [b"second\7", b"third\7"] if first is SMALL else [LARGE + b"\7", b"second\7", b"third\7"]
    assert [next(frames) for _ in expected] == expected
    put(box, b"fourth")  # gRPC's thread has the third still
    assert len(call.frames) == (first is SMALL)
    assert next(frames) == b"fourth\7"


def test_the_direct_way_is_open_again_when_grpcs_thread_has_sent_all() -> None:
    call = Call()
    box = outbox(call)
    put(box, LARGE)
    frames, waits = box.frames(), threading.Thread(target=lambda: list(frames))
    waits.start()  # takes the large one and comes back for more
    for _ in range(200):
        put(box, SMALL)
        if call.frames:
            break
        threading.Event().wait(0.01)
    call.land()
    box.close()
    waits.join()
    assert call.frames == [SMALL + b"\7"]


def test_grpcs_thread_sends_nothing_while_a_small_message_is_under_way() -> None:
    call = Call()
    box = outbox(call)
    put(box, SMALL, LARGE)
    pulled: list[bytes] = []
    thread = threading.Thread(target=lambda: pulled.extend(box.frames()))
    thread.start()
    box.close()
    thread.join(0.1)
    assert thread.is_alive()
    assert pulled == []
    call.land()
    thread.join()
    assert pulled == [LARGE + b"\7"]


@pytest.mark.parametrize("call", [None, Call(takes=False)])
def test_without_a_direct_way_everything_is_pulled(call: Call | None) -> None:
    box = outbox(call)
    put(box, b"1", b"2")
    box.close()
    assert list(box.frames()) == [b"1\7", b"2\7"]


def test_a_closed_one_sends_nothing() -> None:
    call = Call()
    box = outbox(call)
    box.close(FrameTooLargeError("why"))
    with pytest.raises(FrameTooLargeError, match="why"):
        put(box, SMALL)
    with pytest.raises(FrameTooLargeError, match="why"):
        list(box.frames())
    assert call.frames == []
    ended = outbox(call)
    ended.close()
    with pytest.raises(PiError, match="closed"):
        put(ended, SMALL)
