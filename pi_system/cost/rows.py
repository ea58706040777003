"""The rows of a prediction: which layer the work on the critical path belongs to."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from pi_system.cost.layers import NodeWork, RowWork
from pi_system.cost.work import LINEAR, ROUND_TRIP, TRANSFER, Prices, Work, work
from pi_system.program.reveal import Reveal


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One node of the graph online; rows add up to the whole.

    Attributes:
        name: of the node; the last row, ``label``, ``scores`` or ``logits``, is what reveals them.
        kind: its operation.
        macs: multiply-accumulates.
        relus: elements that go through a gate.
        rounds: round trips the client waits for.
        up_bytes: client to server.
        down_bytes: server to client.
        compute_ms: both parties' computing, as far as nothing hides it.
        transfer_ms: bytes on a link of limited rate, as far as nothing hides it.
        round_trip_ms: delay of the link.
    """

    name: str
    kind: str
    macs: int = 0
    relus: int = 0
    rounds: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
    compute_ms: float = 0.0
    transfer_ms: float = 0.0
    round_trip_ms: float = 0.0


class Counts(NamedTuple):
    """What is counted of a row; see LayerCost."""

    relus: int = 0
    rounds: int = 0
    up_bytes: int = 0
    down_bytes: int = 0


class Rows:
    """Gives the work on the critical path to the rows that it belongs to."""

    def __init__(self, prices: Prices):
        """No rows yet."""
        self._prices = prices
        self._rows: dict[str, tuple[LayerCost, Work]] = {}

    def add(self, node: NodeWork, path: Work, counts: Counts) -> None:
        """A node and the path from the one before to it, part of which is that of layers it drew from."""
        own, parts = path.copy(), (*node.at_once, *node.drawn, *node.after)
        for name in (*LINEAR, "masked"):
            self._give(own, parts, name)
        cost = LayerCost(name=node.node.name, kind=node.node.op, macs=node.macs, **counts._asdict())
        self._rows[cost.name] = (cost, own)

    def _give(self, own: Work, parts: tuple[RowWork, ...], name: str) -> None:
        mask = work(**{name: 1.0})
        asked = sum(float(part.units @ mask) for part in parts)
        on_path = float(own @ mask)
        for part in parts:
            if asked and part.name in self._rows:
                given = mask * (on_path * float(part.units @ mask) / asked)
                units = self._rows[part.name][1]
                units += given
                own -= given

    def costs(self, reveal: Reveal, path: Work, counts: Counts) -> list[LayerCost]:
        """All rows, at the end that of what is revealed and the path from the last node to it."""
        rows = [timed(cost, self._prices, units) for cost, units in self._rows.values()]
        return [*rows, timed(LayerCost(name=reveal, kind="reveal", **counts._asdict()), self._prices, path)]


def timed(row: LayerCost, prices: Prices, units: Work) -> LayerCost:
    """``row`` with the milliseconds of ``units``."""
    transfer, round_trip = prices.part(units, TRANSFER), prices.part(units, ROUND_TRIP)
    compute = prices.cost(units) - transfer - round_trip
    return replace(row, compute_ms=compute / 1e6, transfer_ms=transfer / 1e6, round_trip_ms=round_trip / 1e6)
