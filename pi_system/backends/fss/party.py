"""Both parties of backend ``fss``: Delphi's linear phase, ReLUs by function secret sharing, squares, a dealer."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from math import prod

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.fss.gates import FSS_GATES, SEEDS, DealtGates, gate_seeds
from pi_system.backends.fss.offline import FssFill, FssWalk, masked_weights
from pi_system.backends.fss.request import make_request
from pi_system.backends.fss.weights import fetch_weights, offer_weights, weight_seed
from pi_system.channel.base import Channel, DealerLink
from pi_system.channel.profile import profiler_of
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.ring.carrier import RingArray
from pi_system.secure.layout import Bundle
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.party import ClientParty, Fill, ServerParty, one_by_one
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.seeds import party_seed


class FssServer(ServerParty):
    """Party 0 of backend ``fss``; a ServerRuntime. One instance a session."""

    gates: DealtGates
    seeds = SEEDS

    def __init__(self, artifact: Artifact, options: RuntimeOptions):
        """See ServerParty."""
        super().__init__(artifact, FSS_GATES, options)

    @contextmanager
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        """See backends/fss/dealer.py for the messages."""
        seed = weight_seed(self.model_folder)
        offer_weights(masked_weights(self.graph, self.weights, seed, self.ring), seed, peer)
        with closing(dealer(make_request(self.public, self.reveal))) as channel:
            channel.send(seed)
            profiler_of(peer).enter("gates")
            yield one_by_one(lambda bundle: FssFill(self.schedule, self.gates, self.ring, bundle, peer, channel).fill())

    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        """From the server's seed."""
        return party_seed(bundle).linear_share(node, self.ring.bits)

    def derived(self, bundle: Bundle, name: str, spec: GateSpec) -> Material:
        """Seed and salt of the gate."""
        return gate_seeds(bundle, name)


class FssClient(ClientParty):
    """Party 1 of backend ``fss``; a ClientRuntime. One instance a session."""

    gates: DealtGates
    seeds = SEEDS

    def __init__(self, public: PublicArtifact, options: RuntimeOptions):
        """See ClientParty."""
        super().__init__(public, FSS_GATES, options)

    @contextmanager
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        """See backends/fss/dealer.py for the messages."""
        masked = fetch_weights(self.model_folder, self.graph, self.ring, peer)
        layers = {node.name: RingLayer(node, masked.pop(node.name)) for node in self.graph.weighted}
        with closing(dealer(make_request(self.public, self.reveal))) as channel:
            yield one_by_one(
                lambda bundle: FssWalk(self.public, self.gates, layers, bundle, peer, channel).fill(self.reveal)
            )

    def lasting_bytes(self, count: int) -> int:
        """Of masked weights, unless some are there."""
        if any(self.model_folder.glob("weights-*")):
            return 0
        return self.ring.itemsize * sum(prod(node.weight_shape) for node in self.graph.weighted)

    def derived(self, bundle: Bundle, name: str, spec: GateSpec) -> Material:
        """Seed and salt of the gate, and its fresh mask where the gate takes it."""
        seeds = gate_seeds(bundle, name)
        if not self.gates[spec.kind].client_takes_mask:
            return seeds
        return seeds | {"mask": party_seed(bundle).fresh_mask(name, spec.count, self.ring.bits)}
