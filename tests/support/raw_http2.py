"""A caller that speaks HTTP/2 by hand, without TLS: it may send half a call, and grant a server no room to answer."""

import socket
import struct
from contextlib import AbstractContextManager
from typing import Any, Self

from pi_system.rpc.transport import SERVICE

_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_ACK = _END = 1


class RawCaller(AbstractContextManager["RawCaller"]):
    """One connection; ``window``: bytes that it lets a server send in each call."""

    def __init__(self, address: str, window: int = 65535):
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 20.0)
        greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        self._socket.sendall(greeting + _frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, window)))
        self._stream = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._socket.close()

    def call(self, method: str, message: bytes | None = None) -> None:
        """Start a call; ``message``: its first, None: it stays away."""
        self._stream += 2
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/{SERVICE}/{method}",
            ":authority": "pi-server",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self._socket.sendall(_frame(_HEADERS, 4, self._stream, block))
        if message is not None:
            body = struct.pack(">BI", 0, len(message)) + message
            self._socket.sendall(_frame(_DATA, 0, self._stream, body))

    def ends(self, count: int) -> None:
        """Return when the server has ended ``count`` calls, by a reset or at its stream's end."""
        ended = set[int]()
        while len(ended) < count:
            header = self._read(9)
            kind, flags, stream = header[3], header[4], int.from_bytes(header[5:9], "big")
            body = self._read(int.from_bytes(header[:3], "big"))
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._socket.sendall(_frame(kind, _ACK, 0, body if kind == _PING else b""))
            elif kind == 3 or (kind in (_DATA, _HEADERS) and flags & _END):
                ended.add(stream)

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._socket.recv(size - len(found))
            assert more, "the server closed the connection"
            found += more
        return found


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
