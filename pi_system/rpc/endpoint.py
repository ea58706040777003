"""Where a client connects, and how it gets in: a server that does not answer, or has no place now, is asked again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pi_system._proto.v1.control_pb2 import ClientEnvelope, ServerHello
from pi_system.backends.registry import BACKENDS, Backends
from pi_system.errors import BusyError, PeerUnavailableError, PiError, RemoteProtocolError
from pi_system.interrupts import pause
from pi_system.rpc.channel import Wrap, as_it_is
from pi_system.rpc.envelope import read_server, write
from pi_system.rpc.session_config import SESSION_METHOD, Hello, hello_to_proto
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import Connection, dial

_RETRY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a client connects and what it brings.

    Attributes:
        server: HOST:PORT.
        dealer: HOST:PORT, None for backends without a dealer.
        identity: the client's; None: plaintext, on this machine only.
        store_dir: private folder of offline material.
        connect_timeout_s: how long a server that does not answer is tried again.
        busy_timeout_s: how long one is asked again that has no place now.
        on_busy: called at each such answer.
        timeout_s: how long a silent peer is waited for.
        backends: where backends are found.
        wrap: put around the session's channels; for measurements.
        line: online phases may take a connection of their own, where the server offers one (line_ends.py).
    """

    server: str
    dealer: str | None
    store_dir: Path
    connect_timeout_s: float = 10.0
    busy_timeout_s: float = 10.0
    on_busy: Callable[[BusyError], None] = lambda busy: None
    timeout_s: float = 120.0
    backends: Backends = field(default_factory=lambda: BACKENDS)
    identity: Identity | None = None
    wrap: Wrap = as_it_is
    line: bool = True


def enter(endpoint: Endpoint, hello: Hello) -> tuple[Connection, ServerHello]:
    """A connection on which the server has greeted: it has a place. Raises BusyError, or what ``dial`` does."""
    started_s = time.monotonic()
    answered_s = started_s
    while True:
        connection: Connection | None = None
        try:
            connection = _dialled(endpoint)
            write(connection.stream, ClientEnvelope(hello=hello_to_proto(hello)))
            return connection, read_server(connection.stream, "hello").hello
        except BusyError as busy:
            busy.request = hello.request
            _drop(connection, busy)
            left_s = started_s + endpoint.busy_timeout_s - time.monotonic()
            if left_s <= 0:
                raise
            endpoint.on_busy(busy)
            # The server's figure is a guess: who has less time than that asks once more at its end.
            hello, pause_s = replace(hello, ticket=busy.ticket or hello.ticket), min(busy.retry_s, left_s)
            answered_s = time.monotonic() + pause_s
        except PeerUnavailableError as error:  # its worker ended before it said anything: nothing was spent
            _drop(connection, error)
            if connection is None or time.monotonic() - answered_s > endpoint.connect_timeout_s:
                raise
            pause_s = _RETRY_S
        except BaseException as error:
            if connection is not None and isinstance(error, PiError):
                error.request = hello.request
            _drop(connection, error)
            raise
        pause(pause_s)


def _dialled(endpoint: Endpoint) -> Connection:
    return dial(
        endpoint.server,
        SESSION_METHOD,
        connect_timeout_s=endpoint.connect_timeout_s,
        timeout_s=endpoint.timeout_s,
        peer=f"server {endpoint.server}",
        identity=endpoint.identity,
    )


def _drop(connection: Connection | None, error: BaseException) -> None:
    """Disconnect, if it came to a connection."""
    if connection is not None:
        connection.abort(as_pi_error(error))


def as_pi_error(error: BaseException) -> PiError:
    """What the peer is told of an error: itself, if it is one of ours."""
    return error if isinstance(error, PiError) else RemoteProtocolError("this end stopped")
