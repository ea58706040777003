import math

import pytest
from measuring.reference import floor_ms

from pi_system.channel.shaped import LINKS, Link


def test_loopback_leaves_the_convolutions() -> None:
    assert floor_ms(11.0, sent_bytes=10**7, received_bytes=10**6, round_trips=18, link=LINKS["loopback"]) == 11.0


def test_counts_the_busier_direction_and_every_round_trip() -> None:
    link = Link(8e6, 0.01)  # a byte takes a microsecond
    found = floor_ms(1.0, sent_bytes=1448 * 10, received_bytes=1448, round_trips=3, link=link)
    assert found == pytest.approx(1.0 + 15.0 + 30.0)  # ten packets of 1500 bytes, three times 10 ms


def test_more_of_anything_costs_more() -> None:
    link = Link(1e8, 0.04)
    base = floor_ms(1.0, sent_bytes=10**5, received_bytes=10**4, round_trips=2, link=link)
    assert math.isfinite(base)
    assert floor_ms(1.0, sent_bytes=2 * 10**5, received_bytes=10**4, round_trips=2, link=link) > base
    assert floor_ms(1.0, sent_bytes=10**5, received_bytes=10**4, round_trips=3, link=link) > base
