"""The client's offline walks: its share of every value is known before there is a picture."""

import numpy as np

from pi_system.artifact.model import PublicArtifact
from pi_system.channel.base import Channel
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import RingArray, wire
from pi_system.secure.layout import Bundle
from pi_system.secure.seeds import PartySeed
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, SecureWalk, Share


class MaskWalk(SecureWalk):
    """Follows the client's fresh masks, all from its seed; what is not fresh a subclass may leave unknown."""

    party = 1

    def __init__(self, public: PublicArtifact, seed: PartySeed):
        """``seed``: the client's, of one picture."""
        super().__init__(public.public.graph, public.public.ring, public.masks)
        self.seed = seed

    def walk(self) -> RingArray:
        """Run the graph once; the client's share of the logits, (1, classes)."""
        node = self.graph.input
        mask = self.fresh(node.name, int(np.prod(node.shape))).reshape(1, *node.shape)
        return np.ascontiguousarray(self.run(self.graph, Share(Computed(mask), True)).data.full()).reshape(1, -1)

    def fresh(self, name: str, count: int) -> RingArray:
        """The fresh mask of a value, (1, count)."""
        return self.seed.fresh_mask(name, count, self.ring.bits).reshape(1, -1)

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        return self.fresh(name, spec.count)

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        return self.fresh(name, spec.count)

    def _remask(self, name: str, x: RingArray) -> RingArray:
        return self.fresh(name, x.shape[1])


class ClientWalk(MaskWalk):
    """Follows the client's true shares, fills its bundle and tells the server what it needs."""

    def __init__(self, public: PublicArtifact, seed: PartySeed, bundle: Bundle, server: Channel):
        """``seed`` and ``bundle``: the client's, of one picture."""
        super().__init__(public, seed)
        self.bundle, self.server = bundle, server

    def fill(self, reveal: Reveal) -> None:
        """Walk the graph, and what is made of its logits; keep the share of what is opened."""
        opened = self.reveal(self.walk(), reveal)
        self.bundle.fill("output", wire(self.ring.reduce(opened)))

    def _remask(self, name: str, x: RingArray) -> RingArray:
        mask = self.fresh(name, x.shape[1])
        self.server.send(wire(self.ring.reduce(x - mask)))
        return mask
