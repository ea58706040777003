"""pi-dealer as an operator meets it: probes, metrics, and SIGTERM under a pair that is dealt to."""

import os
import signal
import threading
import urllib.request
from typing import Any

import pytest
from processes import started
from toy_backend import SLOW_COUNT

from pi_system.rpc.dealer_link import DealerDialer

TOY = (
    "import sys; from pi_system.cli import dealer; from pi_system.rpc.dealer_service import DealerService\n"
    "dealer.DealerService = lambda **options: DealerService(**options, backends={'toy': 'toy_backend'})\n"
    "dealer.main(sys.argv[1:])"
)
"""The real program with a backend that deals nothing secret, and slowly where SLOW_COUNT is asked for."""


@pytest.fixture
def dealer() -> Any:
    options = ("--listen", "127.0.0.1:0", "--insecure", "--metrics", "127.0.0.1:0", "--drain", "20")
    with started("-c", TOY, "serve", *options) as running:
        yield running


def get(dealer: Any, path: Any) -> Any:
    address = dealer[0].wait_log(r"metrics at (\S+)")[1]
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read().decode()


def test_sigterm_lets_a_pair_end(dealer: Any) -> None:
    assert get(dealer, "/readyz") == "ready\n"
    channels, pairing = {}, os.urandom(16)

    def take(role: Any) -> Any:
        timeouts: dict[str, Any] = {"connect_timeout_s": 5.0, "timeout_s": 20.0}
        fields: dict[str, Any] = {"address": dealer[1], "backend": "toy", "pairing_id": pairing, "count": SLOW_COUNT}
        channels[role] = DealerDialer(role=role, **fields, **timeouts)(b"request")

    threads = [threading.Thread(target=take, args=(role,)) for role in ("server", "client")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
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
