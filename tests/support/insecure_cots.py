"""The functionality of correlated OT by a dealer in the clear: INSECURE, for tests of what is built on COTs.

Both ends draw from one seed, so each party could compute the other's secrets; nothing is sent.
"""

from typing import Any

import numpy as np

from pi_system.kernels.ot import Blocks
from pi_system.protocols.half import Half
from pi_system.protocols.ot.base import Cots, Position
from pi_system.protocols.ot.party import OtParty
from pi_system.ring.prg import Prg


class _Dealer:
    """The same sequence of q, u and Delta at both ends."""

    def __init__(self, seed: bytes) -> None:
        prg = Prg(seed)
        self.delta = np.frombuffer(prg.child("delta").bytes(16), np.uint64).reshape(1, 2).copy()
        self.delta[0, 0] |= np.uint64(1)
        self._prg, self._position = prg, Position()

    @property
    def taken(self) -> int:
        """COTs so far."""
        return self._position.next

    def draw(self, count: int) -> tuple[Blocks, Blocks]:
        """q (n, 2) and u (n, 1)."""
        q = np.empty((count, 2), np.uint64)
        self._prg.into(q)
        q[:, 0] &= ~np.uint64(1)
        return q, self._prg.ring((count, 1), 1).astype(np.uint64)


class InsecureCotSender(_Dealer):
    """See CotSender."""

    def extend(self, count: int) -> Half[Cots]:
        """See CotSender; sends nothing."""
        yield from ()
        return self._position.cots(self.draw(count)[0])


class InsecureCotReceiver(_Dealer):
    """See CotReceiver."""

    def extend(self, count: int) -> Half[Cots]:
        """See CotReceiver; sends nothing."""
        q, u = self.draw(count)
        yield from ()
        return self._position.cots(q ^ (u * self.delta))


def insecure_parties(seed: bytes) -> tuple[OtParty, OtParty]:
    """Server and client ends of both directions."""
    down, up = Prg(seed).child_seed("server sends"), Prg(seed).child_seed("client sends")
    server = OtParty(InsecureCotSender(down), InsecureCotReceiver(up))
    return server, OtParty(InsecureCotSender(up), InsecureCotReceiver(down))


def cots_taken(ends: tuple[OtParty, OtParty]) -> tuple[int, int]:
    """COTs so far, from the server and from the client."""
    server, client = (_sender(end) for end in ends)
    return server.taken, client.taken


def _sender(end: Any) -> InsecureCotSender:
    sender: InsecureCotSender = end.sender
    return sender
