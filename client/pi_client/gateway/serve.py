"""Both listeners of the gateway, from their start until they are stopped. Needs the extra ``web``."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn

from pi_client.gateway.gateway import Gateway
from pi_client.gateway.impatient import Impatient
from pi_client.gateway.rest import make_app
from pi_client.gateway.rpc import SERVICE, make_replies
from pi_system.errors import ConfigError
from pi_system.rpc.calls import CallServer

_PROBES: Final = 16
"""Calls at once beside those that are answered or wait. More: memory. Fewer: probes are told that it is busy."""
_BACKLOG: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where it listens, and how it ends."""

    rest: str
    grpc: str
    server: uvicorn.Server
    calls: CallServer

    def stop(self, drain_s: float) -> None:
        """Take no connection; calls have so long to end."""
        self.server.should_exit = True
        self.calls.stop(drain_s)

    def force(self) -> None:
        """End all calls."""
        self.server.should_exit = self.server.force_exit = True
        self.calls.stop(0)


@contextmanager
def listening(
    gateway: Gateway,
    rest: str,
    grpc_address: str,
    *,
    waiting: int,
    most_bytes: int,
    drain_s: float,
    anywhere: bool,
) -> Iterator[Listening]:
    """Answer at both addresses while the block runs; at its end calls are waited for, ``drain_s`` at most.

    Args:
        gateway: that answers.
        rest: HOST:PORT; port 0: any free one.
        grpc_address: the same.
        waiting: of the gateway.
        most_bytes: of a request.
        drain_s: see above.
        anywhere: under any name, for callers on other machines.

    Raises:
        ConfigError: an address cannot be had.
    """
    at_once = waiting + 1 + _PROBES
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with _bound(rest) as bound:
        host, port = rest.rpartition(":")[0], bound.getsockname()[1]
        hosts = ("*",) if anywhere else ("127.0.0.1", "localhost", "[::1]", host)
        config = uvicorn.Config(
            make_app(gateway, most_bytes=most_bytes, hosts=hosts),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http=Impatient,
            loop="asyncio",
            backlog=_BACKLOG,
            limit_concurrency=at_once,
            timeout_graceful_shutdown=max(1, round(drain_s)),
        )
        server = uvicorn.Server(config)
        calls = CallServer(grpc_address, SERVICE, make_replies(gateway), at_once=at_once, most_bytes=most_bytes)
        thread = threading.Thread(target=server.run, args=([bound],), name="rest", daemon=True)
        thread.start()
        found = Listening(rest=f"{host}:{port}", grpc=calls.address, server=server, calls=calls)
        try:
            yield found
        finally:
            found.stop(drain_s)
            calls.wait()
            thread.join()


@contextmanager
def _bound(address: str) -> Iterator[socket.socket]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        bound = socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
        )
    except OSError as error:
        raise ConfigError(
            f"listen: expected a free address, found that {address} cannot be bound: {error.strerror}"
        ) from None
    with bound:
        yield bound
