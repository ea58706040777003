"""A channel over one TCP connection of its own, read and written by the protocol's thread: no queues, no hand-overs.

A message is its length, 4 bytes, little-endian, and its bytes. A line belongs to a session's gRPC stream, which stays
beside it and decides on life and death: where the stream dies, by an error of the peer, a keepalive or a watchdog, the
line does, with the stream's error. Where the line alone ends, so does the session's phase.

Who writes more than the kernel takes reads meanwhile what comes, so two parties that both write do not wait for each
other.
"""

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from pi_system.channel.base import ChannelCounters
from pi_system.errors import PeerTimeoutError, PiError, RemoteProtocolError
from pi_system.interrupts import parts
from pi_system.protocols.half import Readable
from pi_system.rpc.byte_queue import copied
from pi_system.rpc.frames import QUEUE_BYTES, FrameStream
from pi_system.rpc.transport import KEEPALIVE_S, KEEPALIVE_TIMEOUT_S

_LENGTH: Final = struct.Struct("<I")
_BODY_AT: Final = 16
"""Where a message's bytes start in their buffer, which the allocator aligned: kernels compute on them in place."""
_PIECE_BYTES: Final = 1 << 16
_REASON_S: Final = 2.0
"""How long the stream may take to say why the peer is gone. Shorter: an error of the peer reads as its absence."""


class Line:
    """A Channel; used by one thread, which owns it. After any error it is dead."""

    def __init__(self, end: socket.socket, stream: FrameStream):
        """Take over the connected ``end``, after its handshake; ``stream``: of the session."""
        self.counters = ChannelCounters()
        self.arrivals: Sequence[tuple[float, int]] = ()
        self._end, self._stream = end, stream
        self._early = bytearray()
        self._polls: dict[int, select.poll] = {}
        self._lock, self._closed = threading.Lock(), False
        self._dead, self._error = threading.Event(), PiError()
        _set_options(end)
        stream.when_dead(self._die)

    @property
    def idle(self) -> bool:
        """Nothing has come and the other end is there, as far as this machine knows: a phase may start."""
        return not (self._closed or self._dead.is_set() or self._early or self._wait(select.POLLIN, 0.0))

    def send(self, data: Readable) -> None:
        """See Channel; returns once the kernel has all of it. Raises PeerTimeoutError: the peer does not read."""
        message = memoryview(data).cast("B")
        rest = memoryview(b"".join((_LENGTH.pack(message.nbytes), message)))
        until_s = 0.0
        while rest:
            try:
                rest = rest[self._end.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                until_s = until_s or time.monotonic() + self._stream.timeout_s
                self._make_room(until_s)
            except (OSError, ValueError):
                raise self._over() from None
        self.counters.on_send(message.nbytes)
        self.counters.frame_bytes += _LENGTH.size

    def _make_room(self, until_s: float) -> None:
        """Wait until some may be written; what comes meanwhile is kept."""
        full = len(self._early) > QUEUE_BYTES
        found = self._wait(select.POLLOUT if full else select.POLLOUT | select.POLLIN, until_s)
        if not found:
            raise PeerTimeoutError(f"expected the peer to read within {self._stream.timeout_s} s, found it stuck")
        if found & ~select.POLLOUT and not full:
            piece = bytearray(_PIECE_BYTES)
            self._early += piece[: self._read(memoryview(piece))]

    def recv(self, nbytes: int) -> memoryview:
        """The next message, see Channel; it is not copied."""
        buffer = np.empty(_BODY_AT + nbytes, np.uint8).data
        until_s = time.monotonic() + self._stream.timeout_s
        head = buffer[_BODY_AT - _LENGTH.size :]
        filled = self._fill(head, 0, _LENGTH.size, until_s)
        found = _LENGTH.unpack_from(head)[0]
        if found != nbytes:
            raise RemoteProtocolError(f"{self._stream.peer}: expected {nbytes} bytes of data, found {found}")
        self._fill(head, filled, len(head), until_s)
        self.arrivals = [(time.monotonic(), nbytes)]
        self.counters.on_receive(nbytes)
        self.counters.frame_bytes += _LENGTH.size
        return buffer[_BODY_AT:]

    def _fill(self, view: memoryview, filled: int, enough: int, until_s: float) -> int:
        """How much of ``view`` is filled, at least ``enough``: no more than it holds is read."""
        while filled < enough:
            if self._early:
                piece = self._early[: len(view) - filled]
                del self._early[: len(piece)]
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
                continue
            if not (self._deciphered() or self._wait(select.POLLIN, until_s)):
                raise PeerTimeoutError(f"expected a message within {self._stream.timeout_s} s, found the peer silent")
            filled += self._read(view[filled:])
        return filled

    def _deciphered(self) -> bool:
        """Bytes are there that poll does not know of: the rest of a TLS record. Asking costs less than to try."""
        return isinstance(self._end, ssl.SSLSocket) and self._end.pending() > 0

    def _read(self, view: memoryview) -> int:
        """Bytes of ``view`` that were filled; 0: none is there yet. Raises what the connection ended with."""
        try:
            if got := self._end.recv_into(view):
                return got
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except (OSError, ValueError):
            pass
        raise self._over()

    def _wait(self, mask: int, until_s: float) -> int:
        """What of ``mask``, or which error, poll finds; 0: nothing until then."""
        poll = self._polls.get(mask)
        if poll is None:
            poll = self._polls[mask] = select.poll()
            poll.register(self._end, mask)
        for part_s in parts(max(0.0, until_s - time.monotonic())):
            if found := poll.poll(1000 * (part_s or 0.0)):
                return found[0][1]
        return 0

    def _over(self) -> PiError:
        """Why nothing comes any more: the stream's error if it has one."""
        if self._dead.wait(_REASON_S):
            return copied(self._error)
        return self._stream.gone(f"{self._stream.peer}: closed the line of the online phase")

    def _die(self, error: PiError) -> None:
        """Wake whoever waits; called by any thread."""
        self._error = error
        self._dead.set()
        with self._lock:
            if not self._closed:
                _shut(self._end)

    def close(self) -> None:
        """End the connection; safe to call twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._end.close()


def _shut(end: socket.socket) -> None:
    """End both directions; an SSLSocket's own method would take the TLS from under a thread that reads."""
    try:
        socket.socket.shutdown(end, socket.SHUT_RDWR)
    except OSError:
        pass  # the other end was faster


def _set_options(end: socket.socket) -> None:
    """No delay, and a path that is gone is noticed as soon as gRPC does."""
    end.setblocking(False)
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    timeout_ms = int(1000 * (KEEPALIVE_S + KEEPALIVE_TIMEOUT_S))
    linux = {"TCP_KEEPIDLE": int(KEEPALIVE_S), "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": timeout_ms}
    options += [(socket.IPPROTO_TCP, getattr(socket, name), n) for name, n in linux.items() if hasattr(socket, name)]
    for option in options:
        end.setsockopt(*option)
