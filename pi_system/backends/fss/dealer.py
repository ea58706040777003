"""The dealer's side of the offline phase: draws every correlation, sees neither weights nor pictures.

    server                        dealer                              client
    weight seed        -->
                        per picture:
                       <-- seed_0, salt       seed_1, salt -->
                        per weighted layer:   V = B * r - c_s -->
                        per gate:
                       <-- key, corrections             key -->     (of a square: z_1 -->, protocols/square)
                        per truncation:
                       <-- (r' >> t) + r

B is the layer's fixed mask (from the weight seed, known to server and dealer), r the client's fresh mask (from
seed_1), c_s the server's share (from seed_0). The client adds E * r, E = W - B, which it has from the server and
the dealer never sees (DESIGN.md, weighted layers). Security: semi-honest; a dealer that colludes with a party breaks
the other's privacy. Nothing is kept: a dealer that restarts has forgotten everything it dealt.
"""

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.fss.gates import FSS_GATES, DealtGates
from pi_system.backends.fss.request import parse_request
from pi_system.channel.base import Channel
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.protocols.truncation import dealt as truncation
from pi_system.ring.carrier import RingArray, wire
from pi_system.ring.prg import SEED_BYTES, fresh_seed
from pi_system.secure.offline import MaskWalk
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.seeds import PartySeed, fixed_mask, gate_salt
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions


def deal(request: bytes, count: int, server: Channel, client: Channel) -> None:
    """Deal the material of ``count`` pictures for the model in ``request`` to both parties."""
    (public, reveal), gates = parse_request(request), FSS_GATES
    weight_seed, ring_bits = bytes(server.recv(SEED_BYTES)), public.public.ring.ring_bits
    layers = {
        node.name: RingLayer(node, fixed_mask(weight_seed, node, ring_bits)) for node in public.public.graph.weighted
    }
    for _ in range(count):
        _Dealing(public, gates, layers, server, client).picture(reveal)


class _Dealing(MaskWalk):
    """One picture: follows the client's fresh masks through the graph."""

    def __init__(
        self,
        public: PublicArtifact,
        gates: DealtGates,
        layers: dict[str, RingLayer],
        server: Channel,
        client: Channel,
    ):
        self._seeds = (PartySeed(fresh_seed()), PartySeed(fresh_seed()))
        super().__init__(public, self._seeds[1])
        self._gates, self._layers, self._server, self._client = gates, layers, server, client
        self._salt = fresh_seed()

    def picture(self, reveal: Reveal) -> None:
        """Send both seeds, then everything that the graph and what is made of its logits need, in order."""
        for channel, party in ((self._server, self._seeds[0]), (self._client, self._seeds[1])):
            channel.send(party.seed + self._salt)
        self.reveal(self.walk(), reveal)

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        correlation: RingArray = self._layers[node.name](x) - self._seeds[0].linear_share(node, self.ring.bits)
        self._client.send(wire(self.ring.reduce(correlation)))
        return Computed(correlation)  # the client's true share is unknown here; not fresh, so never used as a mask

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        dealt = self._gates[spec.kind].deal(spec, *self._gate_seeds(name), gate_salt(self._salt, name))
        for channel, messages in zip((self._server, self._client), dealt, strict=True):
            for message in messages:
                channel.send(message)
        return self.fresh(name, spec.count)

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        mask = self.fresh(name, spec.count)
        self._server.send(truncation.deal(spec, *self._gate_seeds(name), mask[0]))
        return mask

    def _gate_seeds(self, name: str) -> tuple[bytes, bytes]:
        """Both parties' seeds of one step, the server's first."""
        server, client = self._seeds
        return server.gate_seed(name), client.gate_seed(name)
