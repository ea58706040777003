"""What the phases of a session cost, as the client saw it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationCost:
    """One offline phase: for ``count`` inferences, wall-clock ms and payload bytes on all three connections.

    The last three are ``offline_bytes`` by connection: client and server, client and dealer, server and dealer.
    """

    count: int
    offline_ms: float
    offline_bytes: int
    peer_bytes: int = 0
    client_dealer_bytes: int = 0
    server_dealer_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineCost:
    """One online phase, seen from the client.

    Attributes:
        ready_ms: before it, from the request: both parties mark their material as used, durably, read it, and expand
            what depends on no picture.
        online_ms: from the first online byte to the decoded result.
        rounds: times the client waited for an answer.
        client_to_server_bytes: payload.
        server_to_client_bytes: payload.
        frame_bytes: framing in both directions.
    """

    ready_ms: float
    online_ms: float
    rounds: int
    client_to_server_bytes: int
    server_to_client_bytes: int
    frame_bytes: int


Costs = TypeVar("Costs", OnlineCost, PreparationCost)


def sum_costs(costs: Sequence[Costs]) -> Costs:
    """Of all of them, at least one, together."""
    kind = type(costs[0])
    return kind(**{one.name: sum(getattr(cost, one.name) for cost in costs) for one in fields(kind)})
