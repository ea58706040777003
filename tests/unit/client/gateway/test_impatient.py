"""Connections that say nothing are closed; those that are answered are not."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from gateways import INFER, FakePrivate, gateway_of, pixels_request, wait_until

from pi_client.gateway import impatient
from pi_client.gateway.serve import listening

SETTINGS = {"waiting": 1, "most_bytes": 10_000, "drain_s": 1.0, "anywhere": False}


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> FakePrivate:
    monkeypatch.setattr(impatient, "SILENT_S", 0.3)
    return FakePrivate()


@pytest.fixture
def address(private: FakePrivate) -> Iterator[tuple[str, int]]:
    with listening(gateway_of(private), "127.0.0.1:0", "127.0.0.1:0", **SETTINGS) as found:  # type: ignore[arg-type]
        yield "127.0.0.1", int(found.rest.rpartition(":")[2])


def ask(address: tuple[str, int], method: str, path: str, body: str | None = None) -> int:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request(method, path, body)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /v2 HTTP/1.1\r\nHost: ",
        b"POST /v2/models/x/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_who_says_nothing_shuts_nobody_out(address: tuple[str, int], said: bytes) -> None:
    silent = [socket.create_connection(address, timeout=20) for _ in range(40)]
    for one in silent:
        one.sendall(said)
    wait_until(lambda: ask(address, "GET", "/v2/health/live") == 200)
    for one in silent:
        one.close()


def test_an_answer_may_take_its_time(address: tuple[str, int], private: FakePrivate) -> None:
    private.go.clear()
    later = threading.Timer(1.0, private.go.set)
    later.start()
    body = json.dumps(pixels_request(np.zeros((1, 1, 2, 2), np.uint8)))
    assert ask(address, "POST", INFER, body) == 200
    later.join()
