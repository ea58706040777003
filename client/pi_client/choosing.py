"""What a client that leaves the backend open brings to the choice: its material, its dealer, its wish, its prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pi_system.backends.registry import AUTO_DEALT
from pi_system.cli.service import describe
from pi_system.cost import Decision, Objective, calibration_or_default, choose
from pi_system.cost.choice import candidates
from pi_system.errors import ChannelError
from pi_system.rpc.choosing import Offer
from pi_system.rpc.tls import Identity
from pi_system.secure.stores import all_stores

_DEALER_S: Final = 3.0
"""How long a dealer that does not answer is tried. Longer: who names one that is away waits longer for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChooser:
    """A ``Chooser``. Material that lies prepared is used first; a dealer is taken only if it is named, and answers.

    Attributes:
        root: the client's store.
        client_id: of it.
        dealer: HOST:PORT that the user named; None: no third party.
        identity: the client's, for the dealer.
        timeout_s: how long a dealer is tried, at most.
        objective: what shall be least.
        calibration: file of prices; None: those that ship.
        ahead: the session prepares ahead: the link is measured also where what lies prepared decides, and told.
    """

    root: Path
    client_id: bytes
    dealer: str | None
    identity: Identity | None
    timeout_s: float
    objective: Objective
    calibration: Path | None
    ahead: bool

    def __call__(self, offer: Offer) -> Decision:
        """Choose; see Chooser."""
        prepared, note = self._prepared(offer), ""
        dealt: tuple[str, ...] = AUTO_DEALT if self.dealer else ()
        held = [name for name in candidates(offer.public.public, offer.offered, dealt) if prepared.get(name)]
        if self.ahead or not held:
            dealt, note = self._reached(offer.offered)
        return choose(
            offer.public,
            None if len(held) == 1 and not self.ahead else offer.measure(),
            offered=offer.offered,
            dealt=dealt,
            prepared=prepared,
            objective=self.objective,
            calibration=calibration_or_default(self.calibration),
            reveal=offer.reveal,
            note=note,
        )

    def _prepared(self, offer: Offer) -> Mapping[str, int]:
        """Unused inferences for this model, and what it reveals here, by backend."""
        digest, client = offer.public.public.digest, self.client_id.hex()
        stores = [
            stored
            for stored in all_stores(self.root, "client")
            if (stored.reveal, stored.client) == (offer.reveal, client) and digest.startswith(stored.model)
        ]
        counts = {stored.backend: stored.unused()[0] for stored in stores}
        return {name: count for name, count in counts.items() if count}

    def _reached(self, offered: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        """What the named dealer deals, of what the server offers; and what is to be said of it."""
        wanted = tuple(name for name in AUTO_DEALT if name in offered)
        if self.dealer is None or not wanted:
            return (), ""
        try:
            found = describe(self.dealer, "dealer", min(_DEALER_S, self.timeout_s), self.identity)
        except ChannelError:
            return (), f"dealer {self.dealer} does not answer"
        return tuple(name for name in wanted if name in found.backends), ""
