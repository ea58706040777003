"""A session whose client asked for ``auto``: it measures the link, chooses a backend, and the server allows it.

    client                                  server
                                      <--   ServerHello(offered), the model
    Probe(bytes), one byte of data    -->
                                      <--   one byte, then that many
    ... the next of PROBES, or
    Choose(backend)                   -->

Probes are data messages through the session's own channel: they take the way that the protocols' messages take.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pi_system._proto.v1.control_pb2 import Choose, ClientEnvelope, Probe
from pi_system.artifact.model import PublicArtifact
from pi_system.channel.base import Channel
from pi_system.channel.link import Link
from pi_system.errors import RemoteProtocolError
from pi_system.program.reveal import Reveal
from pi_system.rpc.envelope import read_client, write
from pi_system.rpc.frames import FrameStream

PROBES: Final = tuple(1 << bits for bits in range(14, 20))
"""Bytes that a client may have sent to it, each once, in this order. The first fits in what TCP sends at once, and each
is twice the one before, as TCP's window grows. More: a better figure of a fast link, of more of the server's bytes."""
_QUICK_S: Final = 3e-3
"""A probe that takes no longer is sent in any case; a longer one until a second has confirmed the least round trip."""
_CONFIRMED: Final = 1.25
"""A round trip of at most so many times the least, and _OWN_S, confirms it. Less: more probes. More: a late reply of a
busy party looks like the link."""
_OWN_S: Final = 0.2e-3
"""A round trip of these messages over no link at all, which the prices of the cost model have in them."""
_LEAST_S: Final = 1e-6
_PING: Final = bytes(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a client chooses from.

    Attributes:
        public: the model.
        offered: backends that the server says it allows for it.
        reveal: what the session reveals: material is prepared for one of them.
        measure: measures the link, once; takes a round trip or a few milliseconds.
    """

    public: PublicArtifact
    offered: tuple[str, ...]
    reveal: Reveal
    measure: Callable[[], Link]


class Explained(Protocol):
    """A backend, and why it was chosen."""

    @property
    def backend(self) -> str:
        """Its name."""

    def line(self) -> str:
        """All of it for people."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""


Chooser = Callable[[Offer], Explained]
"""Raises ConfigError: none of what is offered is allowed."""


def measure_link(stream: FrameStream, channel: Channel) -> Link:
    """The client's side of the probes. Raises ChannelError or RemoteProtocolError."""
    trips_s: list[float] = []
    bits = carried_s = 0.0
    for nbytes in PROBES:
        size = Link(1.0, 0.0).transfer_s(nbytes)
        if trips_s and _enough(sorted(trips_s), size * carried_s / bits):
            break
        trip_s, took_s = _probe(stream, channel, nbytes)
        trips_s.append(trip_s)
        bits, carried_s = bits + size, carried_s + max(took_s, _LEAST_S)
    return Link(bits / carried_s, max(0.0, min(trips_s) - _OWN_S))


def _probe(stream: FrameStream, channel: Channel, nbytes: int) -> tuple[float, float]:
    """Seconds until the byte comes back, and from then until the others are here."""
    asked_s = time.monotonic()
    write(stream, ClientEnvelope(probe=Probe(bytes=nbytes)))
    channel.send(_PING)
    channel.recv(len(_PING))
    echoed_s = time.monotonic()
    channel.recv(nbytes)
    return echoed_s - asked_s, time.monotonic() - echoed_s


def _enough(trips_s: list[float], next_s: float) -> bool:
    """Whether sorted round trips say what the link's is, and the transfer of one probe more costs time."""
    confirmed = len(trips_s) > 1 and trips_s[1] <= _CONFIRMED * trips_s[0] + _OWN_S
    return confirmed and trips_s[0] + next_s > _QUICK_S


def tell_choice(stream: FrameStream, backend: str) -> None:
    """The client's side of the choice."""
    write(stream, ClientEnvelope(choose=Choose(backend=backend)))


def serve_choice(stream: FrameStream, channel: Channel) -> str:
    """The server's side of both: what the client chose, whatever that is.

    Raises:
        RemoteProtocolError: another message, or another probe than the next of PROBES.
        ChannelError: the client is gone, or silent.
    """
    for nbytes in PROBES:
        found = read_client(stream, "probe", "choose")
        if found.WhichOneof("message") == "choose":
            return found.choose.backend
        if found.probe.bytes != nbytes:
            raise RemoteProtocolError(f"probe: expected one of {nbytes} bytes, found {found.probe.bytes}")
        channel.recv(len(_PING))
        channel.send(_PING)
        channel.send(bytes(nbytes))
    return read_client(stream, "choose").choose.backend
