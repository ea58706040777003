"""Who connects and says nothing does not keep a place: the deadline is the hello's own, not the stream's."""

import math
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import TOY
from streams import stream_pair
from tiny_artifact import tiny_artifact

from pi_system._proto.v1.control_pb2 import ClientEnvelope, ClientHello, DealerHello
from pi_system.errors import PeerTimeoutError, PiError
from pi_system.rpc.dealer_service import DealerService
from pi_system.rpc.envelope import read, write
from pi_system.rpc.server_session import SessionHost, serve_session
from pi_system.rpc.watchdog import Watchdog
from pi_system.version import PROTOCOL_VERSION

STREAM_S = 20.0  # as long as a hello without a deadline of its own would be waited for
SHORT_S = 0.1


@pytest.fixture
def ends() -> Iterator[Any]:
    left, right = stream_pair(STREAM_S)
    yield left, right
    for end in (left, right):
        end.fail(PiError("the test is over"))


def host(**changes: Any) -> Any:
    return SessionHost(
        artifact=tiny_artifact(), store_dir=Path("unused"), dealer=None, allowed=("toy",), backends=TOY, **changes
    )


def test_a_client_that_says_nothing_is_left(ends: Any) -> None:
    with pytest.raises(PeerTimeoutError, match=f"within {SHORT_S} s"):
        serve_session(ends[0], host(hello_s=SHORT_S))


def test_the_deadline_is_over_once_the_client_has_said_hello(ends: Any) -> None:
    """Later commands may take as long as the stream waits: here the peer ends it, which takes no time."""
    hello = ClientHello(protocol_version=PROTOCOL_VERSION, backend="toy", client_id=bytes(16), reveal="label")
    write(ends[1], ClientEnvelope(hello=hello))
    ends[1].close()
    with pytest.raises(PiError, match="closed"):
        serve_session(ends[0], host(hello_s=SHORT_S))


def test_a_party_that_says_nothing_to_the_dealer_is_left(ends: Any) -> None:
    failed: queue.SimpleQueue[PiError] = queue.SimpleQueue()
    ends[0].when_dead(failed.put)
    DealerService(hello_s=SHORT_S, backends=TOY).take(ends[0])
    error = failed.get(timeout=STREAM_S / 2)
    assert isinstance(error, PeerTimeoutError)
    assert f"within {SHORT_S} s" in str(error)
    with pytest.raises(PiError):
        read(ends[1], DealerHello)


def test_nobody_waits_long_for_a_hello_by_default() -> None:
    assert host().hello_s == DealerService()._hello_s == 5.0


@pytest.mark.parametrize(("spare_s", "cut"), [(0.0, True), (0.2, True), (60.0, False), (math.inf, False)])
def test_phases_that_wait_for_the_client_are_cut_short_while_others_wait(ends: Any, spare_s: Any, cut: bool) -> None:
    watchdog, ended = Watchdog(ends[0]), threading.Event()
    ends[0].when_dead(lambda _: ended.set())
    watchdog.expect("anything", 60.0, spare_s=spare_s)
    watchdog.limit_idle(0.1, PeerTimeoutError("others wait"))
    assert ended.wait(5.0 if cut else 0.7) == cut
    watchdog.stop()
