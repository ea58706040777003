"""The closed form of Ferret's bytes against what is sent, over several rounds."""

import pytest
from halves import run_halves

from pi_system.protocols.ot.bytes import SETUP_BYTES, silent_bytes
from pi_system.protocols.ot.party import ot_setup
from pi_system.ring.prg import Prg


@pytest.mark.parametrize("requests", [(32,), (70_000, 30_000), (2_000_000, 400_000, 32)])
def test_bytes_do_not_depend_on_how_the_count_is_cut(requests):
    def party(seed, end):
        ends = yield from ot_setup(Prg(seed))
        for count in requests:
            yield from getattr(ends, end).extend(count)

    counters = run_halves(party(b"s" * 16, "sender"), party(b"c" * 16, "receiver")).at_server
    sent, received = counters.sent_bytes, counters.received_bytes
    assert (sent - SETUP_BYTES, received - SETUP_BYTES) == silent_bytes(sum(requests))


def test_nothing_is_sent_for_nothing():
    assert silent_bytes(0) == (0, 0)
