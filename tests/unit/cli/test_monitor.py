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
