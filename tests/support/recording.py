"""Channel ends that stand between a party and its channel."""

from pi_system.channel.base import Channel
from pi_system.protocols.half import Readable


class Relay:
    """Passes everything on to ``inner``; its subclasses look at it, or change it."""

    def __init__(self, inner: Channel) -> None:
        self.inner, self.counters = inner, inner.counters

    def send(self, data: Readable) -> None:
        self.inner.send(data)

    def recv(self, nbytes: int) -> memoryview:
        return self.inner.recv(nbytes)

    def close(self) -> None:
        self.inner.close()


class Recorder(dict[str, list[bytes]]):
    """What each role received; as ``wrap`` of tests/support/parties.py."""

    def __call__(self, role: str, inner: Channel) -> Channel:
        received = self[role] = list[bytes]()

        class Recording(Relay):
            def recv(self, nbytes: int) -> memoryview:
                message = super().recv(nbytes)
                received.append(bytes(message))
                return message

        return Recording(inner)
