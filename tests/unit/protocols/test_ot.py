"""Oblivious transfer: real protocols against the ideal functionality, and malformed messages."""

import numpy as np
import pytest

from pi_system.channel.base import Channel
from pi_system.channel.memory import memory_pair, simulate
from pi_system.errors import LocalProtocolError, RemoteProtocolError
from pi_system.kernels.ot import Blocks
from pi_system.protocols.ot import Cots, OtParty, ot_setup
from pi_system.protocols.ot.base_ot import BaseOtReceiver, BaseOtSender
from pi_system.protocols.ot.ferret import FerretReceiver, FerretSender, LpnParameters
from pi_system.protocols.ot.ideal import insecure_parties
from pi_system.protocols.ot.softspoken import softspoken_bytes
from pi_system.ring.prg import Prg, fresh_seed

SEED = b"0123456789abcdef"
TINY = LpnParameters(trees=40, secret=250, depth=6)  # insecure: several rounds in a few milliseconds


def cots_agree(sent: Cots, received: Cots, delta: Blocks) -> None:
    q, t = sent.blocks, received.blocks
    u = t[:, :1] & np.uint64(1)
    assert not (q[:, 0] & np.uint64(1)).any()
    assert np.array_equal(t, q ^ (u * delta))
    assert len(np.unique(q[:, 1])) == len(q)
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(len(u))
    assert sent.take(0)[1] == received.take(0)[1]


def test_base_ots_give_one_seed_of_each_pair() -> None:
    choices = np.arange(40, dtype=np.uint8) % 3 % 2

    def send(channel: Channel) -> tuple[Blocks, Blocks]:
        sender = BaseOtSender(Prg(SEED))
        sender.start(channel)
        return sender.finish(len(choices), channel)

    pairs, chosen = simulate(send, lambda channel: BaseOtReceiver(choices, Prg(b"f" * 16)).run(channel))
    assert np.array_equal(chosen, np.where(choices[:, None] == 1, pairs[1], pairs[0]))
    assert not (pairs[0] == pairs[1]).all(axis=1).any()


def test_points_of_base_ots_tell_no_choice() -> None:
    """Equal choices, different points: each has a scalar of its own."""
    here, there = memory_pair(1.0)
    BaseOtSender(Prg(SEED)).start(there)
    BaseOtReceiver(np.zeros(40, np.uint8), Prg(SEED)).run(here)
    points = bytes(there.recv(40 * 32))
    assert len({points[i : i + 32] for i in range(0, len(points), 32)}) == 40


def test_base_ot_refuses_a_point_off_the_curve() -> None:
    here, there = memory_pair(1.0)
    there.send(b"\x02" + b"\x00" * 31)
    with pytest.raises(RemoteProtocolError, match="found another"):
        BaseOtReceiver(np.ones(1, np.uint8), Prg(SEED)).run(here)


@pytest.mark.parametrize("silent", [False, True])
def test_extension_meets_the_functionality_in_both_directions(silent: bool) -> None:
    counts = (1000, 1, 7000)

    def party(channel: Channel, prg: Prg, server: bool) -> tuple[OtParty, list[Cots], list[Cots]]:
        ends = ot_setup(channel, prg, silent=silent)
        sent, received = [], []
        for count in counts:
            for turn in (server, not server):
                if turn:
                    sent.append(ends.sender.extend(count, channel))
                else:
                    received.append(ends.receiver.extend(count, channel))
        return ends, sent, received

    server, client = simulate(
        lambda channel: party(channel, Prg(SEED), True), lambda channel: party(channel, Prg(b"f" * 16), False)
    )
    for one, other in ((server, client), (client, server)):
        for sent, received, count in zip(one[1], other[2], counts, strict=True):
            assert len(sent) == len(received) == count
            cots_agree(sent, received, one[0].sender.delta)
    assert [sent.take(0)[1] for sent in server[1]] == [0, 1000, 1001]


def test_ferret_carries_over_rounds_and_sends_only_trees() -> None:
    ideal_server, ideal_client = insecure_parties(SEED)
    per_round = TINY.open_trees << TINY.depth
    counts = (3, per_round, 2 * per_round + 5)

    def send(channel: Channel) -> tuple[list[Cots], Blocks, int]:
        sender = FerretSender(TINY, SEED, ideal_server.sender, Prg(SEED))
        cots = [sender.extend(count, channel) for count in counts]
        return cots, sender.delta, channel.counters.sent_bytes

    def receive(channel: Channel) -> tuple[list[Cots], int]:
        receiver = FerretReceiver(TINY, SEED, ideal_client.receiver)
        return [receiver.extend(count, channel) for count in counts], channel.counters.sent_bytes

    (sent, delta, bytes_sent), (received, bytes_back) = simulate(send, receive)
    cots_agree(
        Cots(np.concatenate([c.blocks for c in sent]), 0), Cots(np.concatenate([c.blocks for c in received]), 0), delta
    )
    opened = 3 * TINY.trees + (sum(counts) - 3 * per_round + 63) // 64
    assert bytes_sent == opened * TINY.tree_bytes
    assert bytes_back == 0


def test_small_requests_out_of_one_tree_get_different_cots() -> None:
    """What a tree gives beyond a request is kept for the next ones, and given away once."""
    ideal_server, _ = insecure_parties(SEED)
    here, _ = memory_pair()
    sender = FerretSender(TINY, SEED, ideal_server.sender, Prg(SEED))
    blocks = np.concatenate([sender.extend(count, here).blocks for count in (1, 5, 5, 20, 1, 60, 64, 1)])
    assert len(np.unique(blocks, axis=0)) == len(blocks)


def test_softspoken_bytes_are_as_declared() -> None:
    def party(channel: Channel) -> tuple[int, int]:
        ends = ot_setup(channel, Prg(fresh_seed()), silent=False)
        setup = channel.counters.sent_bytes
        ends.receiver.extend(999, channel)
        ends.sender.extend(999, channel)
        return setup, channel.counters.sent_bytes - setup

    assert simulate(party, party) == ((8240, softspoken_bytes(999)),) * 2


def test_a_cot_is_taken_once() -> None:
    cots = Cots(np.zeros((8, 2), np.uint64), 100)
    assert cots.take(5)[1] == 100
    assert cots.take(3)[1] == 105
    with pytest.raises(LocalProtocolError, match="expected 1 left, found 0"):
        cots.take(1)


def test_a_message_of_wrong_length_is_a_remote_error() -> None:
    _, client = insecure_parties(SEED)
    here, there = memory_pair(1.0)
    receiver = FerretReceiver(TINY, SEED, client.receiver)
    there.send(b"short")
    with pytest.raises(RemoteProtocolError, match="found 5"):
        receiver.extend(10, here)
