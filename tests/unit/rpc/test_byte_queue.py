import signal
import threading

import pytest

from pi_system.errors import FrameTooLargeError, PeerTimeoutError, PiError
from pi_system.rpc.byte_queue import ByteQueue


def test_items_come_out_in_order_and_the_bound_is_soft() -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    queue.put("large", 100, 0.0)  # taken whole although above the bound
    with pytest.raises(PeerTimeoutError, match="read"):
        queue.put("next", 1, 0.01)
    assert queue.get(0.0) == "large"
    queue.put("next", 1, 0.0)
    assert queue.get(0.0) == "next"


def test_writer_waits_for_room() -> None:
    queue: ByteQueue[int] = ByteQueue(1)
    queue.put(1, 2, 0.0)
    writer = threading.Thread(target=queue.put, args=(2, 2, 5.0))
    writer.start()
    assert [queue.get(5.0), queue.get(5.0)] == [1, 2]
    writer.join()


def test_empty_queue_times_out() -> None:
    with pytest.raises(PeerTimeoutError, match="silent"):
        ByteQueue[int](1).get(0.01)


def test_close_keeps_what_is_held_and_then_says_why_for_ever() -> None:
    queue: ByteQueue[int] = ByteQueue(1)
    queue.put(1, 1, 0.0)
    queue.close(FrameTooLargeError("why"))
    queue.close(PiError("a later reason does not count"))
    assert queue.get(0.0) == 1
    for _ in range(2):
        with pytest.raises(FrameTooLargeError, match="why"):
            queue.get(0.0)
    with pytest.raises(FrameTooLargeError, match="why"):
        queue.put(2, 1, 0.0)


def test_close_without_error_ends_the_queue() -> None:
    queue: ByteQueue[int] = ByteQueue(1)
    queue.close()
    assert queue.get(0.0) is None
    with pytest.raises(PiError, match="closed"):
        queue.put(1, 1, 0.0)


def test_close_wakes_a_waiting_writer() -> None:
    queue: ByteQueue[int] = ByteQueue(0)
    queue.put(1, 1, 0.0)
    closer = threading.Timer(0.05, queue.close, (FrameTooLargeError("why"),))
    closer.start()
    with pytest.raises(FrameTooLargeError):
        queue.put(2, 1, 5.0)
    closer.join()


def test_empty_items_fill_the_queue_too() -> None:
    """A peer that sends empty messages without end is held back like others."""
    queue: ByteQueue[bytes] = ByteQueue(10_000)
    for _ in range(10_000 // 256 + 1):
        queue.put(b"", 0, 0.0)
    with pytest.raises(PeerTimeoutError, match="stuck"):
        queue.put(b"", 0, 0.0)
    assert queue.get(0.0) == b""
    queue.put(b"", 0, 0.0)


def test_signals_at_the_end_of_a_wait_do_not_make_it_one_for_ever() -> None:
    """A ``queue.SimpleQueue`` waits without an end where one comes just before its timeout, and Ctrl-C does nothing."""
    over, main = threading.Event(), threading.get_ident()
    queue: ByteQueue[int] = ByteQueue(1)

    def send() -> None:
        while not over.wait(0.0001):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(1000):
            with pytest.raises(PeerTimeoutError):
                queue.get(0.001)
    finally:
        over.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
