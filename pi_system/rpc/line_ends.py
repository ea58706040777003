"""How both ends of a session come to a line (line.py): the server listens for a moment, the client dials meanwhile.

    server                                               client
                                          <--            ClientHello(line): it would take one
    ServerHello(line: port, token)        -->
                                          <--            connects, TLS 1.3 as on the stream, token
    one byte: it is the session's client  -->
    ...
                                          <--            Infer(line): it has one that is idle
    Ready(line): so has this end          -->            the phase's messages take the line, else the stream

Nobody waits for it: a phase that starts before the line is there, or where it never comes (a firewall, a port that is
not published, a link that is slow itself), takes the stream, and its messages are the same. The port is open for
OFFERED_S, for one line; a caller needs the certificate that the session has, and the token that the stream brought.
"""

import hmac
import logging
import secrets
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pi_system.channel.base import Channel
from pi_system.rpc.channel import Wrap
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.line import Line
from pi_system.rpc.tls import Identity
from pi_system.rpc.tls_socket import CAN_LOAD, dialling, fingerprint, listening, patiently, secured

TOKEN_BYTES: Final = 16
OFFERED_S: Final = 10.0
"""How long the server's port is open, and a client tries. Longer: more open ports. Shorter: slow links get no line."""
_CALLER_S: Final = 2.0
"""How long one caller may take. Longer: one that says nothing keeps the session's client out."""
QUICK_S: Final = 5e-3
"""Round trip up to which a client takes a line. Longer: what is saved is nothing to the link's own, and the stream's
connection is warm, a new one starts with 14 KB a round trip. Shorter: networks in one building go without."""
_RTT_AT: Final = 68
"""Where Linux's struct tcp_info has the round trip, 4 bytes, microseconds."""
_WELCOME: Final = b"\1"
_LOG = logging.getLogger(__name__)


class LineEnd:
    """One end's line, once it is there."""

    def __init__(self, stream: FrameStream, wrap: Wrap, attempt: Callable[["LineEnd"], None]):
        """``attempt`` gets one, in a thread of its own, and calls ``keep``; ``wrap``: put around it."""
        self._stream, self._wrap = stream, wrap
        self._line: Line | None = None
        self._channel: Channel | None = None
        self._lock, self.closed = threading.Lock(), False

        def run() -> None:
            try:
                attempt(self)
            except OSError as error:
                _LOG.debug("no line: %s", error)

        self._thread = threading.Thread(target=run, name="line", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads: the stream is enough
            self.close()

    def keep(self, end: socket.socket) -> None:
        """``end`` is the line from now on. Raises OSError, ``end`` closed: it cannot be."""
        try:
            with self._lock:
                if self.closed:
                    raise ConnectionError("this end was closed")
                line = Line(end, self._stream)
                self._channel = self._wrap(line)
                self._line = line
        except BaseException:
            end.close()
            raise

    def idle(self) -> Channel | None:
        """The line, if it is there and a phase may start on it."""
        line = self._line
        return self._channel if line is not None and line.idle else None

    def close(self) -> None:
        """No line any more; safe to call twice."""
        with self._lock:
            self.closed = True
            if self._line is not None:
                self._line.close()


@dataclass(frozen=True, slots=True)
class LineOffer:
    """What a server hands out.

    Attributes:
        end: the server's.
        port: where it listens.
        token: what the session's client says there.
    """

    end: LineEnd
    port: int
    token: bytes


def offer_line(stream: FrameStream, host: str, identity: Identity | None, wrap: Wrap) -> LineOffer | None:
    """Listen on ``host`` for the client of ``stream``; None: that cannot be done here. ``identity``: the stream's."""
    if not can_have_lines(identity):
        return None
    try:
        listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        _LOG.debug("no line can be offered: %s", error)
        return None
    port, token = listener.getsockname()[1], secrets.token_bytes(TOKEN_BYTES)

    def take(held: LineEnd) -> None:
        context, until_s = listening(identity) if identity else None, time.monotonic() + OFFERED_S
        with listener:
            listener.setblocking(False)
            while not held.closed:
                end, _ = patiently(listener, listener.accept, until_s)
                try:
                    held.keep(_known(end, context, stream, token))
                    return
                except OSError as error:
                    _LOG.debug("line: a caller is sent away: %s", error)

    return LineOffer(LineEnd(stream, wrap, take), port, token)


def can_have_lines(identity: Identity | None) -> bool:
    """Whether this machine's Python can open one with ``identity``."""
    return identity is None or CAN_LOAD


def _known(end: socket.socket, context: ssl.SSLContext | None, stream: FrameStream, token: bytes) -> socket.socket:
    """The caller ``end`` after its handshake, welcomed. Raises OSError, ``end`` closed: it is not the session's."""
    until_s = time.monotonic() + _CALLER_S
    try:
        end.setblocking(False)
        if context is not None:
            end = secured(end, context, until_s)
        said = patiently(end, lambda: end.recv(TOKEN_BYTES), until_s)
        expected = stream.caller.fingerprint if stream.caller else ""
        if not hmac.compare_digest(said, token) or fingerprint(end) != expected:
            raise ConnectionError("expected the session's client, found somebody else")
        patiently(end, lambda: end.send(_WELCOME), until_s, select.POLLOUT)
    except BaseException:
        end.close()
        raise
    return end


def round_trip_s(end: socket.socket) -> float:
    """That of the link, as the kernel saw it when ``end`` was connected; 0 where it does not say."""
    if not sys.platform.startswith("linux"):
        return 0.0
    return 1e-6 * int.from_bytes(
        end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RTT_AT + 4)[_RTT_AT:], sys.byteorder
    )


def dial_line(
    stream: FrameStream, host: str, port: int, token: bytes, identity: Identity | None, wrap: Wrap
) -> LineEnd:
    """Dial what the server of ``stream`` offers; returns at once. ``identity``: the stream's."""

    def call(held: LineEnd) -> None:
        until_s = time.monotonic() + OFFERED_S
        end = socket.create_connection((host, port), OFFERED_S)
        try:
            if (found_s := round_trip_s(end)) > QUICK_S:
                raise ConnectionError(f"expected a link of at most {QUICK_S} s, found {found_s}")
            end.setblocking(False)
            if identity is not None:
                end = secured(end, dialling(identity), until_s, role="server")
            patiently(end, lambda: end.send(token), until_s, select.POLLOUT)
            if patiently(end, lambda: end.recv(len(_WELCOME)), until_s) != _WELCOME:
                raise ConnectionError("expected a welcome, found none")
        except BaseException:
            end.close()
            raise
        held.keep(end)

    return LineEnd(stream, wrap, call)
