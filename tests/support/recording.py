"""A channel that remembers what it received."""

from pi_system.channel.base import Channel
from pi_system.protocols.half import Readable


class RecordingChannel:
    """Passes everything on to ``inner`` and keeps the received messages."""

    def __init__(self, inner: Channel):
        self.inner, self.counters = inner, inner.counters
        self.received: list[bytes] = []

    def send(self, data: Readable) -> None:
        self.inner.send(data)

    def recv(self, nbytes: int) -> memoryview:
        message = self.inner.recv(nbytes)
        self.received.append(bytes(message))
        return message

    def close(self) -> None:
        self.inner.close()
