"""A backend without cryptography, for tests of sessions: ``picture mean``, with switches for faults.

The client's picture says what happens: a first value of 1 makes the online phase slow (a minute), 2 makes the server
raise something that is no PiError. SLOW_COUNT inferences make a slow dealing. Nothing is private here.
"""

import time
from typing import Any

import numpy as np

from pi_system.artifact import Artifact
from pi_system.channel.base import Channel
from pi_system.errors import CorrelationExhaustedError, CorrelationReusedError

__all__ = ["DURABLE", "ONLINE_ROUNDS", "SLOW_COUNT", "deal", "make_client", "make_server"]

DURABLE = False
SLOW_COUNT = 7
ONLINE_ROUNDS = 3
_NORMAL, _SLOW, _BUG = 0, 1, 2


def deal(request: bytes, count: int, server: Channel, client: Channel) -> None:
    for _ in range(count):
        server.send(request)
        client.send(request)
        if count == SLOW_COUNT:
            server.recv(1)


class ToyParty:
    def __init__(self, request: bytes) -> None:
        self._request, self._count = request, 0
        self._ids: list[str] = []

    def prepare(self, count: int, peer: Channel, dealer: Any) -> None:
        link = dealer(self._request)
        for _ in range(count):
            assert bytes(link.recv(len(self._request))) == self._request
        link.close()
        self._ids += [f"toy{self._count + i}" for i in range(count)]
        self._count += count


class ToyServer(ToyParty):
    def reserve(self, ids: tuple[str, ...]) -> None:
        for name in ids:
            if name not in self._ids:
                raise CorrelationReusedError(f"material {name}: used before")
            self._ids.remove(name)

    def infer(self, ids: tuple[str, ...], peer: Channel) -> None:
        mode, size = np.frombuffer(peer.recv(16), np.int64)
        peer.send(b"k")
        if mode == _BUG:
            raise ZeroDivisionError("a bug with a secret in it")
        for _ in range(600 if mode == _SLOW else ONLINE_ROUNDS - 1):
            picture = np.frombuffer(peer.recv(int(size)), np.float32)
            peer.send(np.array([picture.mean(), 1.0], np.float64).tobytes())
            if mode == _SLOW:
                time.sleep(0.1)


class ToyClient(ToyParty):
    burst_bytes = 16
    """Not so, for pictures that are larger: sessions of this backend take a line where there is one."""

    def available(self) -> int:
        return len(self._ids)

    def reserve(self, count: int) -> tuple[str, ...]:
        if count > len(self._ids):
            raise CorrelationExhaustedError(f"expected {count}, found {len(self._ids)}")
        taken, self._ids = tuple(self._ids[:count]), self._ids[count:]
        return taken

    def infer(self, pictures: Any, ids: tuple[str, ...], peer: Channel) -> Any:
        mode = int(pictures.flat[0]) if pictures.flat[0] in (_SLOW, _BUG) else _NORMAL
        peer.send(np.array([mode, pictures.nbytes], np.int64).tobytes())
        peer.recv(1)
        for _ in range(600 if mode == _SLOW else ONLINE_ROUNDS - 1):
            peer.send(np.ascontiguousarray(pictures).data.cast("B"))
            answer = np.frombuffer(peer.recv(16), np.float64)
        return np.tile(answer, (len(pictures), 1))


def make_server(artifact: Artifact, options: Any) -> ToyServer:
    return ToyServer(artifact.public.digest.encode())


def make_client(public: Any, options: Any) -> ToyClient:
    return ToyClient(public.public.digest.encode())
