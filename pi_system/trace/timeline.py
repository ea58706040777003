"""Both parties' pieces of all phases of a profile, on one clock."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

from pi_system.channel.profile import Piece
from pi_system.rpc.phase_profile import Phase, PhaseProfile

Party = Literal["client", "server"]


class Timed(NamedTuple):
    """A piece with its party and phase; its start counts from the profile's first moment."""

    party: Party
    phase: Phase
    piece: Piece


def timeline(profiles: Iterable[PhaseProfile]) -> tuple[Timed, ...]:
    """All pieces of both parties in the order they began, on one clock that starts with the first."""
    found = [
        Timed(party, profile.phase, piece)
        for profile in profiles
        for party, pieces in _halves(profile)
        for piece in pieces
    ]
    origin_ns = min((timed.piece.start_ns for timed in found), default=0)
    moved = [timed._replace(piece=replace(timed.piece, start_ns=timed.piece.start_ns - origin_ns)) for timed in found]
    return tuple(sorted(moved, key=lambda timed: timed.piece.start_ns))


def _halves(profile: PhaseProfile) -> tuple[tuple[Party, tuple[Piece, ...]], ...]:
    return ("client", profile.client), ("server", profile.server or ())
