"""Both parties of backend ``fss``: Delphi's linear phase, ReLUs by function secret sharing, squares, a dealer."""

import secrets
from pathlib import Path
from typing import Any

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import DealerLink
from pi_system.backends.fss.gates import SEEDS, DealtGates, fss_gates, gate_seeds
from pi_system.backends.fss.offline_client import prepare_picture
from pi_system.backends.fss.offline_server import masked_weights, receive_picture
from pi_system.backends.fss.request import make_request
from pi_system.backends.fss.weights import fetch_weights, offer_weights, weight_seed
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.ring.carrier import RingArray
from pi_system.secure.layout import Bundle
from pi_system.secure.party import ACK, ClientParty, ServerParty
from pi_system.secure.ring_layer import RingLayer, available_threads
from pi_system.secure.seeds import PartySeed


class FssServer(ServerParty):
    """Party 0 of backend ``fss``; a ServerRuntime. One instance a session."""

    gates: DealtGates
    seeds = SEEDS

    def __init__(self, artifact: Artifact, store: Path, pairing_id: str, **options: Any):
        """See ServerParty."""
        super().__init__(artifact, "fss", fss_gates(threads=available_threads()), store, pairing_id, **options)

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures; see backends/fss/dealer.py for the messages."""
        self.store.check_room(count * self.layout.nbytes)
        seed = weight_seed(self.model_folder)
        offer_weights(masked_weights(self.graph, self.weights, seed, self.ring), seed, peer)
        channel, watch = dealer(make_request(self.public, self.reveal)), profiler_of(peer)
        try:
            channel.send(seed)
            for _ in range(count):
                watch.enter("gates")
                material_id = bytes(peer.recv(16)).hex()
                bundle = Bundle(self.layout)
                receive_picture(self.schedule, self.gates, self.ring, bundle, peer, channel)
                watch.enter("store")
                self.store.put(material_id, bundle)
                peer.send(ACK)
        finally:
            channel.close()

    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        """From the server's seed."""
        return PartySeed(bundle.section("seed").tobytes()).linear_share(node, self.ring.bits)

    def derived(self, bundle: Bundle, name: str, spec: GateSpec) -> Material:
        """Seed and salt of the gate."""
        return gate_seeds(bundle, name)


class FssClient(ClientParty):
    """Party 1 of backend ``fss``; a ClientRuntime. One instance a session."""

    gates: DealtGates
    seeds = SEEDS

    def __init__(self, public: PublicArtifact, store: Path, pairing_id: str, **options: Any):
        """See ClientParty."""
        super().__init__(public, "fss", fss_gates(threads=available_threads()), store, pairing_id, **options)

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures; see backends/fss/dealer.py for the messages."""
        self.store.check_room(count * self.layout.nbytes)
        masked = fetch_weights(self.model_folder, self.graph, self.ring, peer)
        layers = {node.name: RingLayer(node, masked[node.name]) for node in self.weighted}
        channel, watch = dealer(make_request(self.public, self.reveal)), profiler_of(peer)
        try:
            for _ in range(count):
                watch.enter("linear")
                material_id = secrets.token_bytes(16)
                peer.send(material_id)
                bundle = Bundle(self.layout)
                prepare_picture(self.public, self.gates, layers, bundle, peer, channel, self.reveal)
                watch.enter("store")
                peer.recv(len(ACK))
                self.store.put(material_id.hex(), bundle)
        finally:
            channel.close()

    def derived(self, bundle: Bundle, name: str, spec: GateSpec) -> Material:
        """Seed and salt of the gate, and its fresh mask where the gate takes it."""
        seeds = gate_seeds(bundle, name)
        if not self.gates[spec.kind].client_takes_mask:
            return seeds
        seed = PartySeed(bundle.section("seed").tobytes())
        return seeds | {"mask": seed.fresh_mask(name, spec.count, self.ring.bits)}
