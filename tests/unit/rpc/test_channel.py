from concurrent.futures import ThreadPoolExecutor

import pytest
from dialogue import check_dialogue
from streams import stream_pair

from pi_system.errors import PeerUnavailableError, RemoteProtocolError
from pi_system.rpc.channel import GrpcChannel, frame_overhead
from pi_system.rpc.frames import FRAME_BYTES


def channel_pair() -> tuple[GrpcChannel, GrpcChannel]:
    left, right = stream_pair()
    return GrpcChannel(left), GrpcChannel(right)


def test_counters_of_a_dialogue() -> None:
    check_dialogue(*channel_pair(), overhead=frame_overhead(1))


def test_overhead_is_by_frame() -> None:
    assert frame_overhead(0) == frame_overhead(1) == frame_overhead(FRAME_BYTES)
    assert frame_overhead(2 * FRAME_BYTES + 1) == 3 * frame_overhead(1)


def test_both_sides_may_send_large_messages_before_they_receive() -> None:
    left, right = channel_pair()
    size = 100 << 20  # above the queues' bound

    def party(end: GrpcChannel) -> None:
        end.send(bytes(size))
        end.recv(size)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(party, (left, right), timeout=30))
    assert left.counters.received_bytes == right.counters.received_bytes == size


def test_wrong_size_is_not_counted() -> None:
    left, right = channel_pair()
    left.send(b"12")
    with pytest.raises(RemoteProtocolError):
        right.recv(3)
    assert right.counters.received_bytes == 0


def test_close_ends_the_peer_and_on_close_replaces_it() -> None:
    left, right = channel_pair()
    left.close()
    with pytest.raises(PeerUnavailableError):
        right.recv(1)
    closed = []
    GrpcChannel(stream_pair()[0], lambda: closed.append(True)).close()
    assert closed == [True]
