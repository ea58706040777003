"""pi-dealer as an operator meets it: probes, metrics, and SIGTERM under a pair that is dealt to."""

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from processes import toy_dealer
from toy_backend import SLOW_COUNT

from pi_system.rpc.dealer_link import DealerDialer


@pytest.fixture
def dealer() -> Any:
    with toy_dealer("--metrics", "127.0.0.1:0", "--drain", "20") as running:
        yield running


def get(dealer: Any, path: Any) -> Any:
    address = dealer[0].wait_log(r"metrics at (\S+)")[1]
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read().decode()


def test_sigterm_lets_a_pair_end(dealer: Any) -> None:
    assert get(dealer, "/readyz") == "ready\n"
    pairing = os.urandom(16)

    def take(role: Any) -> Any:
        timeouts: dict[str, Any] = {"connect_timeout_s": 5.0, "timeout_s": 20.0}
        fields: dict[str, Any] = {"address": dealer[1], "backend": "toy", "pairing_id": pairing, "count": SLOW_COUNT}
        return DealerDialer(role=role, **fields, **timeouts)(b"request")

    with ThreadPoolExecutor(2) as pool:
        channels = dict(zip(("server", "client"), pool.map(take, ("server", "client"), timeout=30), strict=True))
    assert "pi_dealer_running 1.0" in get(dealer, "/metrics")
    dealer[0].popen.send_signal(signal.SIGTERM)
    dealer[0].wait_log("stopping: 1 pairs have 20 s to end")
    for _ in range(SLOW_COUNT):
        assert bytes(channels["server"].recv(7)) == bytes(channels["client"].recv(7)) == b"request"
        channels["server"].send(b"1")
    for channel in channels.values():
        channel.close()
    assert dealer[0].popen.wait(15) == 0
    dealer[0].wait_log("stopped")


def test_sighup_does_not_end_a_dealer(dealer: Any) -> None:
    dealer[0].popen.send_signal(signal.SIGHUP)
    dealer[0].wait_log("SIGHUP: a dealer reads its keys when it starts")
    assert get(dealer, "/readyz") == "ready\n"
