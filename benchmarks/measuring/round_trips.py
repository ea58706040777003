"""One party of `benchmarks/channel.py rounds`, run by line_process.run_parties: small messages, four ways."""

import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final, Protocol
from unittest.mock import patch

from measuring.line_process import Message
from measuring.party_channel import connect

from pi_system.rpc import direct
from pi_system.rpc.tls import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, role_name

WAYS: Final = ("public", "direct", "socket", "tls socket")
"""gRPC as its public interface has it; as we use it; and what has no gRPC."""
_BLOCK: Final = 200
"""Round trips of one sample, one way; then the next way has its turn."""
_CONNECT_S: Final = 60.0


class _End(Protocol):
    def send(self, data: bytes) -> None: ...

    def recv(self, nbytes: int) -> object: ...


class _SocketEnd:
    """Messages with their length before them, written and read by the calling thread."""

    def __init__(self, end: socket.socket):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._end = end

    def send(self, data: bytes) -> None:
        self._end.sendall(struct.pack("<I", len(data)) + data)

    def recv(self, nbytes: int) -> object:
        message = memoryview(bytearray(4 + nbytes))
        filled = 0
        while filled < message.nbytes:
            filled += self._end.recv_into(message[filled:])
        return message[4:]


def round_trips(role: str, host: str, ports: list[int], keys: str, repeat: int, size: int, work_us: float) -> Message:
    """Microseconds of a round trip at the client, by way; both parties compute ``work_us`` after each send."""
    folder, ends = Path(keys), dict[str, _End]()
    with patch.object(direct, "TESTED", ()):
        ends["public"], end_public = connect(role, f"{host}:{ports[0]}", "Public", folder)
    ends["direct"], end_direct = connect(role, f"{host}:{ports[1]}", "Direct", folder)
    ends["socket"] = _SocketEnd(_socket(role, host, ports[2], None))
    ends["tls socket"] = _SocketEnd(_socket(role, host, ports[3], _tls(role, folder)))
    samples: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeat + 1):
        for way in WAYS:
            samples[way].append(_block(role, ends[way], size, work_us))
    ends["direct"].send(b"")
    ends["direct"].recv(0)  # nobody leaves before the other is done
    for end in (end_public, end_direct):
        end()
    return {way: found[1:] for way, found in samples.items()}


def _block(role: str, end: _End, size: int, work_us: float) -> float:
    payload, found = bytes(size), list[float]()
    for _ in range(_BLOCK):
        start_s = time.perf_counter()
        if role == "server":
            end.recv(size)
        end.send(payload)
        _work(work_us)
        if role == "client":
            end.recv(size)
        found.append(1e6 * (time.perf_counter() - start_s))
    return median(found)


def _work(work_us: float) -> None:
    """Keep the interpreter busy."""
    until_s = time.perf_counter() + 1e-6 * work_us
    while time.perf_counter() < until_s:
        pass


def _tls(role: str, folder: Path) -> ssl.SSLContext:
    own = folder / role
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if role == "server" else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(own / CERTIFICATE_FILE, own / KEY_FILE)
    context.load_verify_locations(own / AUTHORITY_FILE)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _socket(role: str, host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    if role == "server":
        with socket.create_server((host, port)) as listener:
            end, _ = listener.accept()
        return context.wrap_socket(end, server_side=True) if context else end
    end = _retried(lambda: socket.create_connection((host, port)))
    return context.wrap_socket(end, server_hostname=role_name("server")) if context else end


def _retried(dial: Callable[[], socket.socket]) -> socket.socket:
    until_s = time.monotonic() + _CONNECT_S
    while True:
        try:
            return dial()
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.01)
