"""What a protocol needs of a connection: ordered messages of known size, and honest counters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pi_system.protocols.half import Readable


@dataclass(slots=True)
class ChannelCounters:
    """Payload bytes and round trips seen by one end of a channel.

    A round is counted at the first receive after a send: the number of times this end had to wait for an answer.
    One request and its reply are one round; a simultaneous exchange (each side sends, then receives) is one, too.

    Attributes:
        sent_bytes: payload bytes handed to ``send``.
        received_bytes: payload bytes returned by ``recv``.
        frame_bytes: bytes of framing in both directions, kept apart from the payload.
        rounds: see above.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    frame_bytes: int = 0
    rounds: int = 0
    sent_since_receive: bool = False

    def on_send(self, nbytes: int) -> None:
        """Count one outgoing message of ``nbytes`` payload bytes."""
        self.sent_bytes += nbytes
        self.sent_since_receive = True

    def same_round(self) -> None:
        """Say that what was just sent belongs to a round still in progress: the next receive starts no new one.

        A protocol that cuts one message into chunks calls it between them, since it does not wait for answers there.
        """
        self.sent_since_receive = False

    def on_receive(self, nbytes: int) -> None:
        """Count one incoming message of ``nbytes`` payload bytes."""
        self.received_bytes += nbytes
        if self.sent_since_receive:
            self.rounds += 1
            self.sent_since_receive = False


class Channel(Protocol):
    """One end of an ordered, reliable connection between two parties.

    Both ends know the size of every message beforehand, from the public graph. ``send`` may return before the
    bytes have left; the caller must not change the buffer afterwards. After any error the channel is dead.
    """

    counters: ChannelCounters

    def send(self, data: Readable) -> None:
        """Queue one message. Raises PeerUnavailableError when the peer is gone."""

    def recv(self, nbytes: int) -> memoryview:
        """The next message, which must hold exactly ``nbytes`` bytes.

        Raises:
            RemoteProtocolError: the message has another size.
            PeerUnavailableError: the peer is gone.
            PeerTimeoutError: nothing came in time.
        """

    def close(self) -> None:
        """End the connection; safe to call twice."""


class TimedChannel(Channel, Protocol):
    """A channel that knows when its last received message came in."""

    @property
    def arrivals(self) -> Sequence[tuple[float, int]]:
        """Its pieces: CLOCK_MONOTONIC seconds, taken when each arrived, not when it was asked for, and its bytes."""


DealerLink = Callable[[bytes], Channel]
"""Opens this party's stream from the dealer for a request (public bytes, equal for both parties)."""
