"""gRPC under the frames: channel options, TLS, and the end of a stream that dials.

A stream is one bidirectional call whose messages are raw bytes (no serializer: generic handlers). A lost peer is
noticed at once when its socket closes, and within KEEPALIVE_S + KEEPALIVE_TIMEOUT_S when it just falls silent.
"""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc

from pi_system.errors import (
    ChannelError,
    ConfigError,
    LocalProtocolError,
    PeerTimeoutError,
    PeerUnavailableError,
    PiError,
)
from pi_system.interrupts import interruptible, parts, pause
from pi_system.rpc.direct import client_call
from pi_system.rpc.frames import FRAME_BYTES, FrameStream
from pi_system.rpc.status import rpc_error_to_error
from pi_system.rpc.tls import Identity, Role, check_plaintext, role_name

SERVICE: Final = "pi_system.v1.Inference"
"""Name of the gRPC service; it changes with every incompatible protocol."""
KEEPALIVE_S: Final = 2.0
"""Silence before a ping. Shorter: traffic while a party computes. Longer: a dead peer is noticed later."""
KEEPALIVE_TIMEOUT_S: Final = 3.0
"""How long a ping may go unanswered. Shorter: a starved machine looks dead."""
_ATTEMPT_S: Final = 5.0
"""How long one attempt to connect may take. Shorter: slow machines never connect. Longer: a lost one is tried late."""
_RETRY_S: Final = 0.05
_MAX_CLOSED: Final = 10
"""Connections in a row that may be closed on us. A port that is handed on closes a few; a server that refuses our
certificate closes all, and TLS 1.3 does not let gRPC tell the two apart. Fewer: false alarms. More: told later."""
_HINTS: Final[dict[Role, str]] = {
    "server": "start one (pi-server serve), or say where it is (--server HOST:PORT)",
    "client": "",
    "dealer": "start one (pi-dealer serve) that both parties name by --dealer, or take --backend gmw, which needs none",
}
"""What to do where nobody listens, by whom is missing."""
OPTIONS: Final = (
    ("grpc.max_receive_message_length", 2 * FRAME_BYTES),  # our own check at FRAME_BYTES gives the typed error
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
    ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),  # of all pings; its default is a minute
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
)
HANDSHAKE_S: Final = 5.0
"""How long a caller may take to open its connection, TLS and HTTP/2 in all; gRPC's own default is two minutes. Longer:
who connects and says nothing keeps a file descriptor longer."""
MAX_CONNECTIONS: Final = 2048
"""Connections of one listener; more are closed at once. Fewer: a crowd of silent callers keeps others out sooner."""
UNUSED_S: Final = 10.0
"""How long a connection without a call is kept. Longer: whoever has a certificate, revoked or not, holds a listener's
connections with fewer handshakes. Shorter: a slow caller is sent away between its handshake and its call."""
LISTEN_OPTIONS: Final = (
    *OPTIONS,
    ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_S * 1000)),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.max_connection_idle_ms", int(UNUSED_S * 1000)),
)
_CLIENT_OPTIONS: Final = (
    *OPTIONS,
    ("grpc.enable_retries", 0),  # a protocol round is never repeated
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # how long one attempt may take: TLS is several round trips
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),  # each stream its own TCP connection: sessions share nothing
    ("grpc.enable_http_proxy", 0),
)


class Connection:
    """The dialling end of one stream, with the TCP connection under it."""

    def __init__(self, channel: grpc.Channel, method: str, stream: FrameStream):
        """Open ``method`` on ``channel`` and connect ``stream`` to it."""
        self.stream = stream
        self._channel = channel
        self._ended = threading.Event()
        # Any: the stubs do not know that a call is a Future, too.
        open_stream: Any = channel.stream_stream(f"/{SERVICE}/{method}", None, None)
        self._call = open_stream(_quiet(stream.outgoing()))
        self._call.add_done_callback(lambda _: self._ended.set())
        stream.pump(self._call, self._translated, call=client_call(self._call))

    def _translated(self, error: Exception) -> PiError:
        return rpc_error_to_error(error, self.stream.peer, self.stream.gone)

    def close(self, patience_s: float = 2.0) -> None:
        """Send what is queued, wait for the peer to end the stream, disconnect; safe to call twice."""
        self.stream.close()
        self._ended.wait(patience_s)
        self.abort(LocalProtocolError(f"{self.stream.peer}: this end closed the connection"))

    def abort(self, error: PiError) -> None:
        """Disconnect now; whoever still waits on the stream gets ``error``."""
        self.stream.fail(error)
        self._call.cancel()
        self._channel.close()


def _quiet(frames: Iterator[bytes]) -> Iterator[bytes]:
    """``frames`` up to the stream's error, which its owner knows of: gRPC would log it."""
    try:
        yield from frames
    except PiError:
        return


def check_address(address: str) -> str:
    """``address`` if it reads HOST:PORT. Raises ConfigError."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and re.fullmatch("[0-9]{1,5}", port) and int(port) < 1 << 16):
        raise ConfigError(f"address: expected HOST:PORT, found {address!r}")
    return address


def client_channel(address: str, identity: Identity | None = None, role: Role = "server") -> grpc.Channel:
    """A gRPC channel to ``address``, not yet connected.

    Args:
        address: HOST:PORT.
        identity: this end's; None: plaintext.
        role: that the other end's certificate must have.

    Raises:
        ConfigError: plaintext to another machine.
    """
    if identity is None:
        check_plaintext(check_address(address))
        return grpc.insecure_channel(address, _CLIENT_OPTIONS)
    options = (*_CLIENT_OPTIONS, ("grpc.ssl_target_name_override", role_name(role)))
    return grpc.secure_channel(check_address(address), identity.to_dial(), options)


def dial(
    address: str,
    method: str,
    *,
    connect_timeout_s: float,
    timeout_s: float,
    peer: str,
    gone: type[ChannelError] = PeerUnavailableError,
    identity: Identity | None = None,
    role: Role = "server",
) -> Connection:
    """Connect to ``address`` and open the stream ``method``; returns once the other end has taken it.

    Tries again until ``connect_timeout_s`` is over: a server may just be handing its port to the next worker.
    ``identity`` and ``role`` are as for ``client_channel``.

    Raises:
        ChannelError: of the kind ``gone``: nothing listens there, it is busy, or it refuses this end's certificate.
        ConfigError: it has no certificate of ``role``, or plaintext would leave this machine.
        RemoteProtocolError: what listens there is no peer of ours.
    """
    deadline_s, closed = time.monotonic() + connect_timeout_s, 0
    while True:
        channel = client_channel(address, identity, role)
        connection = Connection(channel, method, FrameStream(timeout_s, peer, gone))
        try:
            connection.stream.read_open(min(_ATTEMPT_S, max(0.1, deadline_s - time.monotonic())))
            return connection
        except PiError as error:
            connection.abort(error)
            if not isinstance(error, gone | PeerUnavailableError | PeerTimeoutError):
                raise
            closed = closed + 1 if "Socket closed" in str(error) else 0
        except BaseException:  # such as Ctrl-C
            connection.abort(LocalProtocolError(f"{peer}: this end stopped"))
            raise
        if closed == _MAX_CLOSED:
            raise gone(f"{peer}: closes every connection: expected that it accepts {_described(identity)}")
        if time.monotonic() + _RETRY_S > deadline_s:
            raise gone(f"{peer}: nothing answered within {connect_timeout_s:g} s: {_HINTS[role]}")
        pause(_RETRY_S)


def _described(identity: Identity | None) -> str:
    return "plaintext, found none: use --keys" if identity is None else "this end's certificate"


def unary(
    address: str,
    method: str,
    request: bytes,
    *,
    timeout_s: float,
    peer: str,
    identity: Identity | None = None,
    role: Role = "server",
) -> bytes:
    """One request and its reply; ``identity`` and ``role`` are as for ``client_channel``.

    Raises the peer's error, PeerUnavailableError, PeerTimeoutError or ConfigError.
    """
    deadline_s = time.monotonic() + timeout_s
    with interruptible(), client_channel(address, identity, role) as channel:
        call = channel.unary_unary(f"/{SERVICE}/{method}", None, None)
        while True:
            try:
                return _reply(call.future(request, timeout=timeout_s))
            except grpc.RpcError as error:
                found = rpc_error_to_error(error, peer)
            if not isinstance(found, PeerUnavailableError):
                raise found
            if time.monotonic() + _RETRY_S > deadline_s:
                # One that closes the connection is there, and refuses this end.
                raise found if "Socket closed" in str(found) else PeerUnavailableError(f"{found}: {_HINTS[role]}")
            pause(_RETRY_S)


def _reply(call: Any) -> bytes:
    """What a call under way brings. gRPC's own wait is under its locks, and Ctrl-C does not end it. Raises RpcError."""
    over = threading.Event()
    call.add_done_callback(lambda _: over.set())
    any(over.wait(part_s) for part_s in parts(None))
    reply: bytes = call.result()
    return reply
