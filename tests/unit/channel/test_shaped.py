import threading
from typing import Any

import numpy as np
import pytest

from pi_system.channel.base import ChannelCounters
from pi_system.channel.link import LINKS, Link, parse_link
from pi_system.channel.memory import memory_pair, simulate
from pi_system.channel.shaped import CHUNK_BYTES, ShapedChannel, shape
from pi_system.errors import ConfigError


def test_named_and_custom_links() -> None:
    assert parse_link("lan") == LINKS["lan"] == Link(1e9, 0.3e-3)
    assert parse_link("wan") == Link(100e6, 40e-3)
    assert parse_link("250,7.5") == Link(250e6, 7.5e-3)


@pytest.mark.parametrize(
    "text", ["", "dsl", "100", "0,1", "100,-1", "1e9,1", "nan,1", "100,1,1", "100,99999", "\u0661,1"]
)
def test_bad_links_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="link"):
        parse_link(text)


def test_loopback_is_the_channel_itself() -> None:
    left, _ = memory_pair()
    assert shape(left, parse_link("loopback")) is left


@pytest.mark.parametrize("nbytes", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])
def test_payload_is_unchanged_and_only_payload_is_counted(nbytes: int) -> None:
    link = Link(1e12, 0.0)
    sent = np.random.default_rng(nbytes).integers(0, 256, nbytes, np.uint8)

    def server(channel: Any) -> Any:
        end = ShapedChannel(channel, link)
        end.send(sent.data)
        return end.counters

    def client(channel: Any) -> Any:
        end = ShapedChannel(channel, link)
        return bytes(end.recv(nbytes)), end.counters

    sender, (received, receiver) = simulate(server, client)
    assert received == sent.tobytes()
    assert (sender.sent_bytes, receiver.received_bytes) == (nbytes, nbytes)


def test_transfer_time_counts_packet_headers() -> None:
    link = Link(8e6, 0.0)  # a byte a microsecond
    assert link.transfer_s(0) == pytest.approx(52e-6)
    assert link.transfer_s(1448) == pytest.approx(1500e-6)
    assert link.transfer_s(1449) == pytest.approx((1449 + 104) * 1e-6)


def test_directions_do_not_share_the_link_and_rounds_count() -> None:
    link = Link(1e9, 0.002)

    def party(channel: Any) -> Any:
        end = ShapedChannel(channel, link)
        for _ in range(3):
            end.send(bytes(100))
            end.recv(100)
        return end.counters.rounds

    assert simulate(party, party) == (3, 3)


def test_close_reaches_the_inner_channel() -> None:
    left, right = memory_pair()
    closer = threading.Thread(target=ShapedChannel(left, LINKS["lan"]).close)
    closer.start()
    closer.join()
    with pytest.raises(Exception, match="closed"):
        ShapedChannel(right, LINKS["lan"]).recv(1)


class _Clock:
    """Time that passes only by waiting: a sleep takes as long as asked for, a look a tenth of a microsecond."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> Any:
        self.now_s += 1e-7
        return self.now_s

    def sleep(self, seconds: Any) -> None:
        self.now_s += seconds


class _Arrivals:
    """The inner channel: messages that came in at given times."""

    def __init__(self, messages: Any) -> None:
        self.counters = ChannelCounters()
        self.arrivals: list[Any] = []
        self._messages = iter(messages)

    def recv(self, nbytes: int) -> memoryview:
        self.arrivals = [next(self._messages)]
        while sum(size for _, size in self.arrivals) < nbytes:
            self.arrivals.append(next(self._messages))
        return memoryview(bytes(nbytes))


def _delivered(monkeypatch: pytest.MonkeyPatch, link: Any, messages: Any) -> Any:
    """When each message is handed over, for a receiver that asks at once."""
    clock = _Clock()
    monkeypatch.setattr("pi_system.channel.shaped.time", clock)
    channel = ShapedChannel(_Arrivals(messages), link)  # type: ignore[arg-type]
    times = []
    for _, size in messages:
        channel.recv(size)
        times.append(clock.now_s)
    return times


@pytest.mark.parametrize("link", [LINKS["lan"], LINKS["wan"], Link(8e6, 0.2), Link(8e6, 0.0), Link(1e12, 0.5)])
def test_a_message_takes_its_transfer_and_half_a_round_trip_neither_less_nor_more(
    monkeypatch: pytest.MonkeyPatch, link: Any
) -> None:
    (found,) = _delivered(monkeypatch, link, [(100.0, 14480)])
    due = 100.0 + 8 * 15000 / link.rate_bits_s + link.rtt_s / 2
    assert due <= found <= due + 1e-6


def test_messages_queue_for_the_rate_and_not_for_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(8e6, 0.2)  # ten packets take 15 ms
    times = _delivered(monkeypatch, link, [(100.0, 14480), (100.0, 14480), (101.0, 14480)])
    assert times == pytest.approx([100.115, 100.130, 101.115], abs=1e-6)


def test_the_frames_of_a_message_are_under_way_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr("pi_system.channel.shaped.time", clock)
    channel = ShapedChannel(_Arrivals([(100.0, 14480), (100.01, 14480), (100.5, 14480)]), Link(8e6, 0.2))  # type: ignore[arg-type]
    channel.recv(3 * 14480)
    assert clock.now_s == pytest.approx(100.5 + 0.015 + 0.1, abs=1e-6)


def test_a_message_asked_for_late_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr("pi_system.channel.shaped.time", clock)
    channel = ShapedChannel(_Arrivals([(100.0, 1448)]), Link(8e6, 0.2))  # type: ignore[arg-type]
    clock.sleep(3.0)
    channel.recv(1448)
    assert clock.now_s == pytest.approx(103.0, abs=1e-6)
