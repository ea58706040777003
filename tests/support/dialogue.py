"""What the counters of every channel say of the same dialogue."""

from pi_system.channel.base import Channel


def check_dialogue(left: Channel, right: Channel, overhead: int) -> None:
    """Two rounds with six messages; ``overhead``: bytes that a message has beside its own."""
    for nbytes in (10, 20):
        left.send(bytes(nbytes))
        right.recv(nbytes)
        right.send(bytes(5))
        right.send(bytes(6))
        left.recv(5)
        left.recv(6)
    assert (left.counters.sent_bytes, left.counters.received_bytes, left.counters.rounds) == (30, 22, 2)
    assert (right.counters.sent_bytes, right.counters.received_bytes, right.counters.rounds) == (22, 30, 1)
    assert left.counters.frame_bytes == right.counters.frame_bytes == 6 * overhead
