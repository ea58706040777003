"""The closed form of Ferret's bytes against a channel, over several rounds."""

import pytest

from pi_system.channel.memory import simulate
from pi_system.protocols.ot.bytes import SETUP_BYTES, silent_bytes
from pi_system.protocols.ot.party import ot_setup
from pi_system.ring.prg import Prg


@pytest.mark.parametrize("requests", [(32,), (70_000, 30_000), (2_000_000, 400_000, 32)])
def test_bytes_do_not_depend_on_how_the_count_is_cut(requests):
    def server(channel):
        sender = ot_setup(channel, Prg(b"s" * 16)).sender
        for count in requests:
            sender.extend(count, channel)
        return channel.counters.sent_bytes, channel.counters.received_bytes

    def client(channel):
        receiver = ot_setup(channel, Prg(b"c" * 16)).receiver
        for count in requests:
            receiver.extend(count, channel)

    (sent, received), _ = simulate(server, client)
    assert (sent - SETUP_BYTES, received - SETUP_BYTES) == silent_bytes(sum(requests))


def test_nothing_is_sent_for_nothing():
    assert silent_bytes(0) == (0, 0)
