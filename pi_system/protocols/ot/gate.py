"""What a gate prepared by oblivious transfer offers to a backend besides its online part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half
from pi_system.protocols.material import Material
from pi_system.protocols.ot.ferret import LARGE
from pi_system.protocols.ot.party import OtParty
from pi_system.protocols.record import GateProtocol
from pi_system.ring.prg import Prg


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOfflineCost:
    """What one gate's offline phase costs, its correlated OTs counted apart; tests hold it against the channel.

    Attributes:
        round_trips: the server sends, the client answers; of gates side by side the longest counts.
        server_to_client_bytes: payload.
        client_to_server_bytes: payload.
        server_cots: correlated OTs whose sender is the server.
        client_cots: whose sender is the client.
        rounds: after the round trips; in each both send, then receive: half a round trip.
    """

    round_trips: int
    server_to_client_bytes: int
    client_to_server_bytes: int
    server_cots: int
    client_cots: int
    rounds: int = 0

    @property
    def silent_bytes(self) -> float:
        """All bytes, both directions, with OTs by Ferret (LARGE) in a long run; setup not counted."""
        cot = LARGE.tree_bytes * LARGE.trees / (LARGE.open_trees << LARGE.depth)
        own = self.server_to_client_bytes + self.client_to_server_bytes
        return own + cot * (self.server_cots + self.client_cots)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtGate(GateProtocol):
    """A protocol.

    Attributes:
        offline_cost: declared offline cost.
        offline_server: (spec, ots, prg) to the server's half, which returns the server's material.
        offline_client: (spec, y_1, r, ots, prg) to the client's; y_1, its share of the gate's input, and r, its new
            mask, are (count,).
    """

    offline_cost: Callable[[GateSpec], GateOfflineCost]
    offline_server: Callable[[GateSpec, OtParty, Prg], Half[Material]]
    offline_client: Callable[[GateSpec, NDArray[Any], NDArray[Any], OtParty, Prg], Half[Material]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsGate(OtGate):
    """A protocol with many rounds, of which those of several gates run side by side (half.py, ``together``).

    Attributes:
        begin_server: as ``offline_server``, but what it returns is the half of its rounds: in each it sends, then
            receives, once. OTs are all taken before.
        begin_client: likewise.
    """

    begin_server: Callable[[GateSpec, OtParty, Prg], Half[Half[Material]]]
    begin_client: Callable[[GateSpec, NDArray[Any], NDArray[Any], OtParty, Prg], Half[Half[Material]]]
