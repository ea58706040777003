from types import SimpleNamespace
from typing import Any

import pytest

from pi_system.channel import profile
from pi_system.channel.link import LINKS, Link
from pi_system.channel.memory import memory_pair
from pi_system.channel.profile import OFF, LayerWatch, Profiler, profiler_of

KINDS = {"conv": "conv2d", "relu": "relu"}


def watched(link: Any = LINKS["loopback"]) -> Any:
    """A profiler in layer ``conv``, its channel, and the peer's end."""
    left, right = memory_pair(5.0)
    watch = Profiler(link, "conv", KINDS)
    return watch, watch.watch(left), right


def sums(pieces: Any, field: Any) -> Any:
    return {layer: sum(getattr(p, field) for p in pieces if p.layer == layer) for layer in {p.layer for p in pieces}}


def test_bytes_and_rounds_go_to_the_layer_at_work_and_add_up_to_the_counters() -> None:
    watch, channel, peer = watched()
    peer.send(bytes(3))
    channel.recv(3)  # answers nothing: no round
    channel.send(bytes(10))
    watch.enter("relu/0")
    peer.send(bytes(7))
    channel.recv(7)  # the round that conv's message began ends here
    watch.enter("relu/1")
    for _ in range(2):
        channel.send(bytes(1))
        peer.send(bytes(2))
        channel.recv(2)
    pieces = watch.stop()
    assert sums(pieces, "sent_bytes") == {"conv": 10, "relu": 2}
    assert sums(pieces, "received_bytes") == {"conv": 3, "relu": 11}
    assert sums(pieces, "rounds") == {"conv": 0, "relu": 3}
    assert channel.counters.rounds == 3
    assert {p.layer: p.kind for p in pieces} == KINDS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the profiler's clock: the times, in ns, at which it will look."""
    return lambda *times_ns: monkeypatch.setattr(profile, "time", SimpleNamespace(monotonic_ns=iter(times_ns).__next__))


def test_every_moment_is_booked_once_and_to_what_it_went_into(clock: Any) -> None:
    link = Link(rate_bits_s=8e9, rtt_s=0.0)  # a byte takes 1 ns, headers 52 more
    clock(1000, 1100, 1400, 1450, 1500, 1530, 1570)
    watch, channel, peer = watched(link)
    peer.send(bytes(48))
    channel.recv(48)  # 1100 to 1400, of which 100 ns are the message's on the link
    watch.enter("relu")  # 1450
    channel.send(bytes(10))  # 1500 to 1530
    pieces = [(p.layer, p.track, p.start_ns, p.duration_ns) for p in watch.stop()]  # 1570
    assert pieces == [
        ("conv", "compute", 1000, 100),
        ("conv", "wait", 1100, 200),
        ("conv", "transfer", 1300, 100),
        ("conv", "compute", 1400, 50),
        ("relu", "compute", 1450, 50),
        ("relu", "transfer", 1500, 30),
        ("relu", "compute", 1530, 40),
    ]


def test_transfer_is_no_longer_than_the_receive_blocked(clock: Any) -> None:
    clock(0, 10, 70, 70)
    watch, channel, peer = watched(Link(rate_bits_s=8e9, rtt_s=0.0))
    peer.send(bytes(48))
    channel.recv(48)
    pieces = [(p.track, p.duration_ns, p.received_bytes) for p in watch.stop()]
    assert pieces == [("compute", 10, 0), ("wait", 0, 48), ("transfer", 60, 0)]


def test_without_an_imitated_link_receiving_is_waiting(clock: Any) -> None:
    clock(0, 10, 70, 70)
    watch, channel, peer = watched()
    peer.send(bytes(48))
    channel.recv(48)
    assert [(p.track, p.duration_ns) for p in watch.stop()] == [("compute", 10), ("wait", 60)]


def test_enter_returns_the_layer_before_so_that_work_can_be_lent() -> None:
    watch, channel, _ = watched()
    assert watch.enter("relu/3") == "conv"
    before = watch.enter("conv")
    channel.send(bytes(1))
    watch.enter(before)
    channel.send(bytes(2))
    assert sums(watch.stop(), "sent_bytes") == {"conv": 1, "relu": 2}


def test_beyond_the_limit_sums_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_PIECES", 10)
    watch, channel, peer = watched()
    for i in range(100):
        watch.enter(("conv", "relu")[i % 2])
        channel.send(bytes(1))
        peer.send(bytes(2))
        channel.recv(2)
    pieces = watch.stop()
    assert len(pieces) <= 10 + 2 * 3
    assert sums(pieces, "sent_bytes") == {"conv": 50, "relu": 50}
    assert sum(p.rounds for p in pieces) == channel.counters.rounds == 100
    total = sum(p.duration_ns for p in pieces)
    assert total >= max(p.start_ns for p in pieces) - pieces[0].start_ns


def test_a_channel_nobody_watches_has_a_watch_that_does_nothing() -> None:
    left, _ = memory_pair()
    watch = profiler_of(left)
    assert watch is OFF
    assert type(watch) is LayerWatch
    assert watch.watch(left) is left
    assert (watch.on, watch.enter("conv"), watch.stop()) == (False, "", ())


def test_the_profiler_is_found_on_its_channel() -> None:
    watch, channel, _ = watched()
    assert profiler_of(channel) is watch
