"""Probes are answered however many others hold the monitor's connections and calls."""

import logging
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pi_system.cli.monitor import monitored
from pi_system.errors import ConfigError
from pi_system.rpc import health


@dataclass(frozen=True)
class Good:
    alive: bool = True

    def problems(self) -> list[str]:
        return []

    def metrics(self) -> Iterator[Any]:
        yield from ()


@pytest.fixture
def addresses(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Of the gRPC and the HTTP half."""
    caplog.set_level(logging.INFO)
    with monitored(Good, "127.0.0.1:0", "127.0.0.1:0"):
        yield re.findall(r" at (\S+:\d+)", caplog.text)


def test_silent_connections_keep_no_probe_out(addresses: Any) -> None:
    host, _, port = addresses[1].rpartition(":")
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(200)]
        for _ in range(3):
            with urllib.request.urlopen(f"http://{addresses[1]}/livez", timeout=10) as answer:
                assert answer.read() == b"alive\n"
        silent[0].settimeout(10)
        assert silent[0].recv(1) == b""  # the oldest made room


def test_calls_that_watch_keep_no_check_out(addresses: Any) -> None:
    with grpc.insecure_channel(addresses[0]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="liveness")
        watching = [stub.Watch(request) for _ in range(50)]
        assert all(next(iter(call)).status for call in watching)
        assert stub.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        for call in watching:
            call.cancel()


@pytest.mark.parametrize("greeting", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])])
def test_who_holds_all_connections_of_the_grpc_half_loses_them(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, greeting: bytes
) -> None:
    """Before or after the HTTP/2 handshake."""
    monkeypatch.setattr(health, "_WATCHERS", 4)
    host, _, port = request.getfixturevalue("addresses")[0].rpartition(":")
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection((host, int(port)))).sendall(greeting)
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            check = health_pb2.HealthCheckRequest(service="liveness")
            answer = health_pb2_grpc.HealthStub(channel).Check(check, timeout=30, wait_for_ready=True)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("half", [0, 1])
def test_a_port_that_another_process_shares_among_its_own_is_not_taken(half: int) -> None:
    """As a server's workers do; probes would reach them, and their clients the probes."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        places: list[str | None] = [None, None]
        places[half] = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match="expected a free address"), monitored(Good, *places):
            pass
