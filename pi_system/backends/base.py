"""What a session needs of a backend: two runtimes, one a party, and a dealing function for the dealer.

A session drives them in this order (rpc/ does, a test does it over a memory pair):

    client                              server
    meet(peer)                    <->   meet(peer)                       if material outlives sessions: PairedRuntime
    prepare(count, peer, dealer)  <->   prepare(count, peer, dealer)     offline phase, any time ahead
    ids = reserve(batch)          -->   reserve(ids)                     marks material used, durably
    confirm(ids)                                                         of a PairedRuntime: the server has reserved
    infer(pictures, ids, peer)    <->   infer(ids, peer)                 online phase

After any error a runtime is dead for that session; what was reserved is burned.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.base import Channel, DealerLink

Deal = Callable[[bytes, int, Channel, Channel], None]
"""``deal(request, count, server, client)``: the dealer's side, both parties' channels in hand."""


class ClientRuntime(Protocol):
    """The picture owner's side of one backend (party 1)."""

    def available(self) -> int:
        """How many inferences the prepared, unused material is good for."""

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` inferences. Raises CorrelationError or ChannelError."""

    def reserve(self, count: int) -> tuple[str, ...]:
        """Take material for ``count`` inferences and mark it used, durably, before anything is sent.

        Raises:
            CorrelationExhaustedError: fewer than ``count`` are left.
        """

    def infer(self, pictures: NDArray[np.float32], ids: tuple[str, ...], peer: Channel) -> NDArray[np.float64]:
        """Online phase: pictures (N, C, H, W), preprocessed, to logits (N, classes).

        A runtime made to reveal less returns scores (N, classes) or labels (N, 1) instead; see program/reveal.py.
        """


class ServerRuntime(Protocol):
    """The network owner's side of one backend (party 0)."""

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` inferences."""

    def reserve(self, ids: tuple[str, ...]) -> None:
        """Take the material the client named and mark it used, durably.

        Raises:
            CorrelationReusedError: it was used before.
            CorrelationMismatchError: this server does not hold it.
        """

    def infer(self, ids: tuple[str, ...], peer: Channel) -> None:
        """Online phase for ``len(ids)`` pictures."""


@runtime_checkable
class SizedRuntime(Protocol):
    """What a client's runtime has, too, if it knows how large an inference's material is."""

    @property
    def inference_bytes(self) -> int:
        """Bytes of one inference's material."""


@runtime_checkable
class StoringRuntime(Protocol):
    """What a client's runtime has, too, if what it prepares is kept on disk."""

    def disk_bytes(self, count: int) -> int:
        """What ``prepare`` will take of the client's disk."""

    def check_room(self, count: int) -> int:
        """``disk_bytes``, before anything is made; LimitError or StorageError for more than there is room for."""


@runtime_checkable
class QuickRuntime(Protocol):
    """What a client's runtime has, too, if it knows how much its online phase sends at once."""

    @property
    def burst_bytes(self) -> int:
        """The most that either party sends for one picture before it waits for an answer."""


@runtime_checkable
class PairedRuntime(Protocol):
    """What a runtime of either party has, too, if its unused material outlives the session."""

    def meet(self, peer: Channel) -> None:
        """Compare with the peer what was used, once, before anything else; what does not fit is burned and logged."""


@runtime_checkable
class PairedClient(Protocol):
    """What such a runtime of the client has besides."""

    def confirm(self, ids: tuple[str, ...]) -> None:
        """Note, durably, that the server has reserved ``ids``: before the first byte of their use is sent."""
