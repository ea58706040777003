"""The dealer's pairing, over real gRPC in this process, with the toy backend's deal function."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from processes import TOY

from pi_system.channel.link import parse_link
from pi_system.channel.shaped import shape
from pi_system.errors import ConfigError, PeerTimeoutError, RemoteProtocolError
from pi_system.rpc.dealer_link import DEALER_METHOD, DealerDialer
from pi_system.rpc.dealer_service import DealerService
from pi_system.rpc.tls import Identity


@pytest.fixture
def address(serve: Any) -> Any:
    service = DealerService(patience_s=0.5, max_pairs=2, backends=TOY)
    service.load_backends()
    return serve({DEALER_METHOD: service.take})


def dialer(address: Any, role: Any, pairing_id: Any = bytes(16), **changes: Any) -> Any:
    fields = {
        "address": address,
        "pairing_id": pairing_id,
        "role": role,
        "backend": "toy",
        "count": 1,
        "connect_timeout_s": 5.0,
        "timeout_s": 5.0,
    }
    return DealerDialer(**(fields | changes))


def fetch(party: Any, request: bytes = b"request") -> Any:
    """What a party gets from the dealer."""
    channel = party(request)
    received = bytes(channel.recv(len(request)))
    channel.close()
    return received


def both(server: Any, client: Any) -> Any:
    """Run both parties; their results or errors."""
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(call) for call in (server, client)]
        return [future.exception() or future.result() for future in futures]


def test_a_pair_gets_its_correlations(address: Any) -> None:
    parties = dialer(address, "server"), dialer(address, "client")
    assert both(*(lambda p=p: fetch(p) for p in parties)) == [b"request", b"request"]
    assert [party.payload_bytes() for party in parties] == [7, 7]


def test_many_pairs_at_once_are_not_mixed_up(address: Any) -> None:
    def party(role: Any, index: Any) -> Any:
        return fetch(dialer(address, role, bytes([index]) * 16), b"request %d" % index)

    with ThreadPoolExecutor(12) as pool:
        jobs = [(i, pool.submit(party, role, i)) for i in range(6) for role in ("server", "client")]
        for index, job in jobs:
            assert job.result() == b"request %d" % index


def test_large_request_and_shaped_link(address: Any) -> None:
    request = os.urandom(3 << 20)
    parties = [dialer(address, role, wrap=partial(shape, link=parse_link("1000,1"))) for role in ("server", "client")]
    assert both(*(lambda p=p: fetch(p, request) for p in parties)) == [request, request]


@pytest.mark.parametrize("change", [{"count": 2}, {"request": b"other"}])
def test_differing_parties_are_both_refused(address: Any, change: dict[str, Any]) -> None:
    request = change.pop("request", b"request")
    results = both(
        lambda: fetch(dialer(address, "server")), lambda: fetch(dialer(address, "client", **change), request)
    )
    assert [type(result) for result in results] == [ConfigError, ConfigError]


def test_two_parties_of_one_role_are_refused(address: Any) -> None:
    results = both(lambda: fetch(dialer(address, "client")), lambda: fetch(dialer(address, "client")))
    assert {type(result) for result in results} == {RemoteProtocolError, PeerTimeoutError}


def test_lonely_party_is_told_so(address: Any) -> None:
    with pytest.raises(PeerTimeoutError, match="other party"):
        fetch(dialer(address, "server"))


def test_party_that_left_is_not_paired(address: Any) -> None:
    first = dialer(address, "server")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fetch, first)
        while not first._connections:
            pass
        first.abort(ConfigError("the session failed"))
        with pytest.raises(ConfigError, match="the session failed"):
            waiting.result()
    with pytest.raises(PeerTimeoutError):
        fetch(dialer(address, "client"))


def test_no_dealer_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="dealer"):
        dialer(None, "client")(b"request")


def test_unknown_backend_is_refused(address: Any) -> None:
    with pytest.raises(ConfigError, match="backend"):
        fetch(dialer(address, "client", backend="os"))


def test_certificate_must_be_of_the_role_that_is_claimed(link_keys: Path, serve: Any) -> None:
    service = DealerService(patience_s=0.5, backends=TOY)
    address = serve({DEALER_METHOD: service.take}, identity=Identity.load(link_keys / "dealer"))
    party = dialer(address, "server", identity=Identity.load(link_keys / "client"))
    with pytest.raises(ConfigError, match="expected one of the server, found one of the client"):
        fetch(party)
