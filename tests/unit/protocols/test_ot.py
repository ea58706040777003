"""Oblivious transfer: real protocols against the ideal functionality, declared bytes, and malformed messages."""

import numpy as np
import pytest
from halves import run_alone, run_halves
from insecure_cots import insecure_parties

from pi_system.errors import LocalProtocolError, RemoteProtocolError
from pi_system.kernels.ot import Blocks
from pi_system.protocols.half import Half, Receive, Send, in_turn
from pi_system.protocols.ot import Cots, OtParty, ot_setup
from pi_system.protocols.ot.base_ot import BaseOtReceiver, BaseOtSender
from pi_system.protocols.ot.bytes import SETUP_BYTES, silent_bytes
from pi_system.protocols.ot.ferret import FerretReceiver, FerretSender, LpnParameters
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

    def send() -> Half[tuple[Blocks, Blocks]]:
        sender = BaseOtSender(Prg(SEED))
        yield Send(sender.point)
        return (yield from sender.finish(len(choices)))

    pairs, chosen, *_ = run_halves(send(), BaseOtReceiver(choices, Prg(b"f" * 16)).run())
    assert np.array_equal(chosen, np.where(choices[:, None] == 1, pairs[1], pairs[0]))
    assert not (pairs[0] == pairs[1]).all(axis=1).any()


def test_points_of_base_ots_tell_no_choice() -> None:
    """Equal choices, different points: each has a scalar of its own."""
    half = BaseOtReceiver(np.zeros(40, np.uint8), Prg(SEED)).run()
    assert next(half) == Receive(32)
    answer = half.send(memoryview(BaseOtSender(Prg(SEED)).point))
    assert isinstance(answer, Send)
    points = bytes(answer.data)
    assert len(points) == 40 * 32
    assert len({points[i : i + 32] for i in range(0, len(points), 32)}) == 40


def test_base_ot_refuses_a_point_off_the_curve() -> None:
    with pytest.raises(RemoteProtocolError, match="found another"):
        run_alone(BaseOtReceiver(np.ones(1, np.uint8), Prg(SEED)).run(), b"\x02" + b"\x00" * 31)


@pytest.mark.parametrize("silent", [False, True])
def test_extension_meets_the_functionality_in_both_directions(silent: bool) -> None:
    counts = (1000, 1, 7000)

    def party(prg: Prg, server: bool) -> Half[tuple[OtParty, list[Cots], list[Cots]]]:
        ends = yield from ot_setup(prg, silent=silent)
        sent, received = [], []
        for count in counts:
            for turn in (server, not server):
                if turn:
                    sent.append((yield from ends.sender.extend(count)))
                else:
                    received.append((yield from ends.receiver.extend(count)))
        return ends, sent, received

    server, client, *_ = run_halves(party(Prg(SEED), True), party(Prg(b"f" * 16), False))
    for one, other in ((server, client), (client, server)):
        for sent, received, count in zip(one[1], other[2], counts, strict=True):
            assert len(sent) == len(received) == count
            cots_agree(sent, received, one[0].sender.delta)
    assert [sent.take(0)[1] for sent in server[1]] == [0, 1000, 1001]


@pytest.mark.parametrize(("down", "up"), [(5000, 0), (0, 5000), (5000, 70), (0, 0)])
def test_a_direction_that_was_begun_is_extended_by_its_sender_alone(down: int, up: int) -> None:
    """With the bytes and the COTs of one that was not, whose receiver sends first."""

    def party(prg: Prg, server: bool, begin: bool) -> Half[list[bytes]]:
        sends, receives = (down, up) if server else (up, down)
        ends = yield from ot_setup(prg, sends=begin and sends > 0, receives=begin and receives > 0)
        mine, theirs = [ends.sender.extend(sends)] * (sends > 0), [ends.receiver.extend(receives)] * (receives > 0)
        cots = yield from in_turn(mine + theirs if server else theirs + mine)
        return [each.blocks.tobytes() for each in cots]

    begun, lazy = (
        run_halves(party(Prg(SEED), True, begin), party(Prg(b"f" * 16), False, begin)) for begin in (True, False)
    )
    assert (begun.server, begun.client) == (lazy.server, lazy.client)
    sent, received = silent_bytes(down), silent_bytes(up)
    for ran in (begun, lazy):
        assert ran.at_server.sent_bytes == SETUP_BYTES + sent[0] + received[1]
        assert ran.at_client.sent_bytes == SETUP_BYTES + sent[1] + received[0]
    after_setup = 3 + (1 + (down > 0)) * (up > 0), 3 + (down > 0)  # the client sends when it has received
    assert begun.chains == after_setup
    assert lazy.chains > begun.chains or not (down or up)


def test_ferret_carries_over_rounds_and_sends_only_trees() -> None:
    ideal_server, ideal_client = insecure_parties(SEED)
    per_round = TINY.open_trees << TINY.depth
    counts = (3, per_round, 2 * per_round + 5)
    sender = FerretSender(TINY, SEED, ideal_server.sender, Prg(SEED))
    receiver = FerretReceiver(TINY, SEED, ideal_client.receiver)
    ran = run_halves(in_turn(map(sender.extend, counts)), in_turn(map(receiver.extend, counts)))
    sent, received, delta = ran.server, ran.client, sender.delta
    cots_agree(
        Cots(np.concatenate([c.blocks for c in sent]), 0), Cots(np.concatenate([c.blocks for c in received]), 0), delta
    )
    opened = 3 * TINY.trees + (sum(counts) - 3 * per_round + 63) // 64
    assert ran.at_server.sent_bytes == opened * TINY.tree_bytes
    assert ran.at_client.sent_bytes == 0


def test_small_requests_out_of_one_tree_get_different_cots() -> None:
    """What a tree gives beyond a request is kept for the next ones, and given away once."""
    ideal_server, _ = insecure_parties(SEED)
    sender = FerretSender(TINY, SEED, ideal_server.sender, Prg(SEED))
    requests = (sender.extend(count) for count in (1, 5, 5, 20, 1, 60, 64, 1))
    blocks = np.concatenate([cots.blocks for cots in run_alone(in_turn(requests))])
    assert len(np.unique(blocks, axis=0)) == len(blocks)


def test_softspoken_bytes_are_as_declared() -> None:
    setup = run_halves(*(ot_setup(Prg(fresh_seed()), silent=False) for _ in range(2)))
    assert setup.at_server.sent_bytes == setup.at_client.sent_bytes == 8240
    ran = run_halves(setup.server.sender.extend(999), setup.client.receiver.extend(999))
    assert (ran.at_server.sent_bytes, ran.at_client.sent_bytes) == (0, softspoken_bytes(999))


def test_a_cot_is_taken_once() -> None:
    cots = Cots(np.zeros((8, 2), np.uint64), 100)
    assert cots.take(5)[1] == 100
    assert cots.take(3)[1] == 105
    with pytest.raises(LocalProtocolError, match="expected 1 left, found 0"):
        cots.take(1)


def test_a_message_of_wrong_length_is_a_remote_error() -> None:
    _, client = insecure_parties(SEED)
    with pytest.raises(RemoteProtocolError, match="found 5"):
        run_alone(FerretReceiver(TINY, SEED, client.receiver).extend(10), b"short")


@pytest.mark.parametrize("requests", [(32,), (70_000, 30_000), (2_000_000, 400_000, 32)])
def test_bytes_of_ferret_do_not_depend_on_how_the_count_is_cut(requests: tuple[int, ...]) -> None:
    def party(seed: bytes, end: str) -> Half[None]:
        ends = yield from ot_setup(Prg(seed))
        for count in requests:
            yield from getattr(ends, end).extend(count)

    counters = run_halves(party(b"s" * 16, "sender"), party(b"c" * 16, "receiver")).at_server
    sent, received = counters.sent_bytes, counters.received_bytes
    assert (sent - SETUP_BYTES, received - SETUP_BYTES) == silent_bytes(sum(requests))


def test_nothing_is_sent_for_nothing() -> None:
    assert silent_bytes(0) == (0, 0)
