"""The profile of one phase, both parties' halves on the client's clock, and the server's half on the wire.

The server sends its half only if it was started to, after the phase, and only when the client asked: how long a layer
takes is a side channel. To the client it is untrusted input: sizes, counts, names and numbers are checked.

Clocks: the client notes when its command left (t0) and when the reply came (t1), the server how long it took from the
command's arrival to its reply (d). With equally long ways, the command arrived (t1 - t0 - d) / 2 after t0; the server's
times, counted from that arrival, are placed there. The error is at most that same number. Control messages do not go
through an imitated link, so its delay does not enter.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from google.protobuf.message import DecodeError

from pi_system._proto.v1.control_pb2 import Profile
from pi_system.artifact.graph import Graph
from pi_system.channel.base import Channel
from pi_system.channel.profile import MAX_PIECES, TRACKS, Piece, Profiler, link_of
from pi_system.errors import RemoteProtocolError

Phase = Literal["offline", "online"]
OFFLINE_STEPS: Final = ("setup", "linear", "gates", "correlations", "store")
"""What an offline phase is told apart into: once a session or model; masked shares of the weighted layers; keys or
oblivious transfers of the gates; CrypTen's correlations; files. A backend uses those it has."""
_ONLINE_STEPS: Final = ("label", "scores", "output")
MAX_LAYERS: Final = 4096 + len(_ONLINE_STEPS)
MAX_PROFILE_BYTES: Final = 4 << 20
"""Holds MAX_PIECES pieces of a phase of days. Larger: a hostile server's costs more memory."""
_NUMBERS: Final = ("start_ns", "duration_ns", "sent_bytes", "received_bytes", "rounds")
"""Fields of a piece that travel as they are."""
_MAX_NUMBER: Final = 1 << 50
"""Nanoseconds (13 days) or bytes: sums of MAX_PIECES of them, in microseconds, are exact in a double."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProfile:
    """One phase of one call.

    Attributes:
        phase: which.
        total_ms: at the client, what its pieces should add up to.
        client: its pieces.
        server: its pieces on the client's clock, None if it does not give them.
        clock_error_us: how far those may be shifted, at most.
    """

    phase: Phase
    total_ms: float
    client: tuple[Piece, ...]
    server: tuple[Piece, ...] | None
    clock_error_us: float | None

    def coverage(self) -> float:
        """The part of ``total_ms`` that the client's pieces explain."""
        return sum(piece.duration_ns for piece in self.client) / (1e6 * self.total_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHalf:
    """What the server says: its pieces, from its command's arrival on, and when after that its reply left."""

    replied_ns: int
    pieces: tuple[Piece, ...]

    def on_clock_of(self, asked_ns: int, answered_ns: int) -> tuple[tuple[Piece, ...], float]:
        """The pieces on the clock that saw the command leave and the reply come, and the error in microseconds."""
        way_ns = max(0, answered_ns - asked_ns - self.replied_ns) // 2
        arrival_ns = asked_ns + way_ns
        return tuple(replace(p, start_ns=p.start_ns + arrival_ns) for p in self.pieces), way_ns / 1e3


def layer_kinds(graph: Graph) -> dict[str, str]:
    """Every layer that an online phase may name, and its operation."""
    return {name: name for name in _ONLINE_STEPS} | {node.name: node.op for node in graph}


def start_profiler(phase: Phase, channel: Channel, graph: Graph) -> Profiler:
    """A profiler of a phase on ``channel`` that starts now."""
    link = link_of(channel)
    if phase == "offline":
        return Profiler(link, OFFLINE_STEPS[0], {})
    return Profiler(link, graph.input.name, layer_kinds(graph))


def half_to_bytes(pieces: tuple[Piece, ...], *, arrived_ns: int, replied_ns: int) -> bytes:
    """The message of the server's half; both times are of the clock of ``pieces``."""
    layers = sorted({piece.layer for piece in pieces})
    index = {name: i for i, name in enumerate(layers)}
    return Profile(
        replied_ns=max(0, replied_ns - arrived_ns),
        layers=layers,
        layer=[index[p.layer] for p in pieces],
        track=[TRACKS.index(p.track) for p in pieces],
        start_ns=[max(0, p.start_ns - arrived_ns) for p in pieces],
        **{name: [getattr(p, name) for p in pieces] for name in _NUMBERS[1:]},
    ).SerializeToString()


def half_from_bytes(data: bytes, phase: Phase, graph: Graph) -> ServerHalf:
    """The peer's message, checked: layers of ``graph`` or steps of ``phase``, as many of each field, sane numbers.

    Raises:
        RemoteProtocolError: it is anything else.
    """
    kinds = layer_kinds(graph) if phase == "online" else {name: name for name in OFFLINE_STEPS}
    try:
        message = Profile.FromString(data)
    except DecodeError:
        raise RemoteProtocolError("profile: expected the server's half, found bytes that are none") from None
    _check(message, kinds)
    return ServerHalf(replied_ns=message.replied_ns, pieces=_pieces(message, kinds))


def _pieces(message: Profile, kinds: Mapping[str, str]) -> tuple[Piece, ...]:
    return tuple(
        Piece(
            layer=message.layers[layer],
            kind=kinds[message.layers[layer]],
            track=TRACKS[track],
            **dict(zip(_NUMBERS, numbers, strict=True)),
        )
        for layer, track, *numbers in zip(message.layer, message.track, *_numbers(message), strict=True)
    )


def _numbers(message: Profile) -> list[Collection[int]]:
    return [getattr(message, name) for name in _NUMBERS]


def _check(message: Profile, kinds: Mapping[str, str]) -> None:
    count = len(message.layer)
    most = MAX_PIECES + len(TRACKS) * len(kinds)
    if count > most or any(len(column) != count for column in (message.track, *_numbers(message))):
        raise RemoteProtocolError(f"profile: expected one entry a piece and at most {most} pieces, found {count}")
    if len(message.layers) > MAX_LAYERS or not set(message.layers) <= kinds.keys():
        raise RemoteProtocolError("profile: expected layers of the model or steps of the phase, found another name")
    if any(index >= len(message.layers) for index in message.layer) or any(t >= len(TRACKS) for t in message.track):
        raise RemoteProtocolError("profile: expected a layer and a track of every piece, found one without")
    largest = max((max(column, default=0) for column in _numbers(message)), default=0)
    if max(largest, message.replied_ns) > _MAX_NUMBER:
        raise RemoteProtocolError(f"profile: expected numbers of at most {_MAX_NUMBER}, found a larger one")
