"""The client's side of the offline phase with a dealer: its masks, its shares, the masked shares for the server."""

import numpy as np

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.fss.gates import DealtGates
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.protocols.truncation import dealt as truncation
from pi_system.ring.carrier import RingArray, wire
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.layout import Bundle
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.seeds import PartySeed, gate_salt
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, SecureWalk, Share, active

__all__ = ["ClientOffline"]


class ClientOffline(SecureWalk):
    """Prepares one picture: fills ``bundle`` from the dealer and tells the server what it needs.

    ``layers`` hold E = W - B of every weighted node. Every message size is known from the public model.
    """

    party = 1

    def __init__(
        self,
        public: PublicArtifact,
        gates: DealtGates,
        layers: dict[str, RingLayer],
        bundle: Bundle,
        server: Channel,
        dealer: Channel,
    ):
        """The picture's share of the offline phase; ``run_picture`` does it."""
        super().__init__(public.public.graph, public.public.ring, public.masks)
        self._gates, self._layers, self._bundle = gates, layers, bundle
        self._server, self._dealer = server, dealer
        self._watch = profiler_of(server)
        seeds = dealer.recv(2 * SEED_BYTES)
        bundle.fill("seed", seeds[:SEED_BYTES])
        bundle.fill("salt", seeds[SEED_BYTES:])
        self._seed, self._salt = PartySeed(bytes(seeds[:SEED_BYTES])), bytes(seeds[SEED_BYTES:])

    def run_picture(self, reveal: Reveal) -> None:
        """Walk the graph once, and what is made of its logits."""
        node = self.graph.input
        mask = self._fresh(node.name, int(np.prod(node.shape))).reshape(1, *node.shape)
        out = self.run(self.graph, Share(Computed(mask), True))
        opened = self.reveal(np.ascontiguousarray(out.data.full()).reshape(1, -1), reveal)
        self._bundle.fill("output", wire(self.ring.reduce(opened)))

    def _weighted(self, node: Conv2d | Linear, x: RingArray) -> Value:
        self._watch.enter("linear")
        size = int(np.prod(node.shape)) * self.ring.itemsize
        correlation = np.frombuffer(self._dealer.recv(size), self.ring.dtype).reshape(1, *node.shape)
        return Computed(self._layers[node.name](x) + correlation)

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        self._watch.enter("gates")
        gate, fresh = self._gates[spec.kind], self._fresh(name, spec.count)
        seed, salt = self._seed.gate_seed(name), gate_salt(self._salt, name)
        dealt = [self._dealer.recv(nbytes) for nbytes in gate.dealt_bytes(spec)[self.party]]
        material, message = gate.client_offline(spec, seed, salt, active(x, positions), fresh, dealt)
        self._bundle.keep(name, material, gate.client_shapes(spec))
        self._server.send(message)
        return fresh.reshape(1, -1)

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        share = np.ascontiguousarray(x.reshape(-1))
        self._server.send(truncation.mask_share(spec, self._seed.gate_seed(name), share))
        return self._fresh(name, spec.count).reshape(1, -1)

    def _remask(self, name: str, x: RingArray) -> RingArray:
        fresh = self._fresh(name, x.shape[1]).reshape(1, -1)
        self._server.send(wire(self.ring.reduce(x - fresh)))
        return fresh

    def _fresh(self, name: str, count: int) -> RingArray:
        return self._seed.fresh_mask(name, count, self.ring.bits)
