"""grpc.health.v1, in the clear, for probes: which named services are well."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pi_system.errors import ConfigError
from pi_system.rpc.transport import check_address

_POLL_S: Final = 1.0
_WATCHERS: Final = 1024
"""Connections, and calls at once; those that watch take no thread."""
_SILENT_MS: Final = 2000
_WATCHED_MS: Final = 30_000
"""How long a connection is kept; who watches comes again. Longer: a crowd keeps probes out longer."""
_STATES: Final = health_pb2.HealthCheckResponse


def _options() -> tuple[tuple[str, int], ...]:
    """A port of its own, and connections that end, so that none keeps probes out for long."""
    return (
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", _WATCHERS),
        ("grpc.server_handshake_timeout_ms", _SILENT_MS),
        ("grpc.max_connection_idle_ms", _SILENT_MS),
        ("grpc.max_connection_age_ms", _WATCHED_MS),
        ("grpc.max_connection_age_grace_ms", _SILENT_MS),
    )


@contextmanager
def serve_health(address: str | None, answers: Callable[[], Mapping[str, bool]]) -> Iterator[str]:
    """Answer at ``address`` while the block runs, the address yielded; None: nothing.

    Args:
        address: HOST:PORT.
        answers: every service's name, and whether it is well; asked every second.

    Raises:
        ConfigError: the address cannot be had.
    """
    if address is None:
        yield ""
        return
    servicer, ended = health.HealthServicer(), threading.Event()

    def follow() -> None:
        while True:
            for name, good in answers().items():
                servicer.set(name, _STATES.SERVING if good else _STATES.NOT_SERVING)
            if ended.wait(_POLL_S):
                return

    server = grpc.server(
        ThreadPoolExecutor(4, thread_name_prefix="health"),
        options=_options(),
        maximum_concurrent_rpcs=_WATCHERS,
    )
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(check_address(address))
    except RuntimeError:
        raise ConfigError(f"health: expected a free address, found that {address} cannot be bound") from None
    server.start()
    threading.Thread(target=follow, name="health", daemon=True).start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        ended.set()
        server.stop(0)
