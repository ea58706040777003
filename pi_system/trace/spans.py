"""The per-layer profile of a real inference: what each party's time, bytes and rounds went into, layer by layer.

``pi_system.channel.profile`` has the meaning of compute, wait and transfer, ``pi_system.rpc.phase_profile`` how the
server's times come onto the client's clock. What to know when reading:

- A party's rows are exclusive: every moment is booked once, so a phase's rows add up to its wall-clock time.
- The server computes a layer's channels as the next gate asks for them; that is booked to the layer, not to the gate.
- The client walks no graph: while the server computes a convolution, the client waits in the gate that follows.
- Bytes and rounds are each end's own count: what the client sent, the server received, and the like.
  The client's rounds are the protocol's; the server, which works on chunks in turn, may count more.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pi_system.channel.profile import TRACKS, Piece
from pi_system.rpc.phase_profile import Phase
from pi_system.trace.timeline import Party, Timed


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpan:
    """One party's work on one layer in one phase, all stretches added up.

    Attributes:
        party: whose.
        phase: which.
        layer: the graph's node, ``output`` (the logits' way to the client), ``label``, ``scores``, or a
            step of the offline phase.
        kind: the node's operation (``conv2d``, ``relu``, ...), else the layer's name.
        start_us: when it was first at work, from the profile's first moment.
        compute_us: see module docstring.
        wait_us: see module docstring.
        transfer_us: see module docstring.
        sent_bytes: payload.
        received_bytes: payload.
        rounds: times this party had to wait for an answer.
    """

    party: Party
    phase: Phase
    layer: str
    kind: str
    start_us: float
    compute_us: float
    wait_us: float
    transfer_us: float
    sent_bytes: int
    received_bytes: int
    rounds: int


def layer_spans(pieces: Iterable[Timed]) -> tuple[LayerSpan, ...]:
    """The sums by party, phase and layer, in the order in which layers were first at work."""
    groups: dict[tuple[Party, Phase, str, str], list[Piece]] = {}
    for party, phase, piece in pieces:
        groups.setdefault((party, phase, piece.layer, piece.kind), []).append(piece)
    spans = [_span(party, phase, found) for (party, phase, _, _), found in groups.items()]
    return tuple(sorted(spans, key=lambda span: span.start_us))


def _span(party: Party, phase: Phase, pieces: list[Piece]) -> LayerSpan:
    compute_us, wait_us, transfer_us = (
        sum(piece.duration_ns for piece in pieces if piece.track == track) / 1e3 for track in TRACKS
    )
    return LayerSpan(
        party=party,
        phase=phase,
        layer=pieces[0].layer,
        kind=pieces[0].kind,
        start_us=min(piece.start_ns for piece in pieces) / 1e3,
        compute_us=compute_us,
        wait_us=wait_us,
        transfer_us=transfer_us,
        sent_bytes=sum(piece.sent_bytes for piece in pieces),
        received_bytes=sum(piece.received_bytes for piece in pieces),
        rounds=sum(piece.rounds for piece in pieces),
    )
