"""The client's side of the offline phase with a dealer: its masks, its shares, the masked shares for the server."""

import numpy as np

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.fss.gates import SEEDS, DealtGates, sizes
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.protocols.truncation import dealt as truncation
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.client_walk import ClientWalk
from pi_system.secure.layout import Bundle
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import Gate, Weighted
from pi_system.secure.seeds import PartySeed, gate_salt
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, active


def prepare_picture(
    public: PublicArtifact,
    gates: DealtGates,
    layers: dict[str, RingLayer],
    bundle: Bundle,
    server: Channel,
    dealer: Channel,
    reveal: Reveal,
) -> None:
    """Fill ``bundle`` for one picture of which ``reveal`` is opened, and tell the server what it needs.

    ``layers`` hold E = W - B of every weighted node. Every message size is known from the public model.
    """
    seeds = dealer.recv(2 * SEED_BYTES)
    for name, seed in zip(SEEDS, (seeds[:SEED_BYTES], seeds[SEED_BYTES:]), strict=True):
        bundle.fill(name, seed)
    _ClientWalk(public, bundle, server, dealer, gates, layers).fill(reveal)


class _ClientWalk(ClientWalk):
    def __init__(
        self,
        public: PublicArtifact,
        bundle: Bundle,
        server: Channel,
        dealer: Channel,
        gates: DealtGates,
        layers: dict[str, RingLayer],
    ):
        seed, self._salt = (bundle.section(name).tobytes() for name in SEEDS)
        super().__init__(public, PartySeed(seed), bundle, server)
        self._gates, self._layers, self._dealer = gates, layers, dealer
        self._watch = profiler_of(server)

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        self._watch.enter("linear")
        (dealt,) = self._dealt(Weighted(node, int(np.prod(node.shape))))
        correlation = np.frombuffer(dealt, self.ring.dtype).reshape(1, *node.shape)
        return Computed(self._layers[node.name](x) + correlation)

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        self._watch.enter("gates")
        gate, mask = self._gates[spec.kind], self.fresh(name, spec.count)
        seed, salt = self.seed.gate_seed(name), gate_salt(self._salt, name)
        dealt = self._dealt(Gate(name, spec))
        material, message = gate.client_offline(spec, seed, salt, active(x, positions), mask[0], dealt)
        self.bundle.keep(name, material, gate.client_shapes(spec))
        self.server.send(message)
        return mask

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        share = np.ascontiguousarray(x.reshape(-1))
        self.server.send(truncation.mask_share(spec, self.seed.gate_seed(name), share))
        return self.fresh(name, spec.count)

    def _dealt(self, step: Gate | Weighted) -> list[memoryview]:
        return [self._dealer.recv(nbytes) for nbytes in sizes(step, self._gates, self.ring).to_client]
