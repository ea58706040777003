"""Backend ``fss``: Delphi's linear phase, ReLUs by function secret sharing, squares; correlations from a dealer.

This module joins the two phases for each party; the protocols are in offline/, online/, protocols/relu_dcf
and protocols/square.
"""

import secrets
from functools import cached_property
from pathlib import Path
from typing import Any

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import DealerLink
from pi_system.backends.fss.material import client_layout, server_layout
from pi_system.backends.fss.offline_client import ClientOffline
from pi_system.backends.fss.offline_server import masked_weights, receive_picture
from pi_system.backends.fss.request import make_request
from pi_system.backends.fss.weights import fetch_weights, offer_weights, weight_seed
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.protocols.gate import ClientGate, GateSpec, ServerGate
from pi_system.protocols.relu_dcf import DcfRelu
from pi_system.protocols.square import SquareClient, SquareServer, dealt
from pi_system.ring.carrier import RingArray
from pi_system.secure.layout import Bundle, Layout
from pi_system.secure.party import ACK, ClientParty, ServerParty
from pi_system.secure.ring_layer import RingLayer, available_threads
from pi_system.secure.seeds import PartySeed, gate_salt

__all__ = ["FssClient", "FssServer"]


class FssServer(ServerParty):
    """Party 0 of backend ``fss``; a ServerRuntime. One instance a session."""

    def __init__(self, artifact: Artifact, store: Path, pairing_id: str, **options: Any):
        """See ServerParty."""
        super().__init__(artifact, "fss", store, pairing_id, **options)
        self.relu = DcfRelu(threads=available_threads())

    @cached_property
    def layout(self) -> Layout:
        """See backends/fss/material.py."""
        return server_layout(self.schedule, self.relu, self.ring)

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
                receive_picture(self.schedule, self.relu, bundle, peer, channel)
                watch.enter("store")
                self.store.put(material_id, bundle)
                peer.send(ACK)
        finally:
            channel.close()

    def linear_share(self, bundle: Bundle, node: Conv2d | Linear) -> RingArray:
        """From the server's seed."""
        return PartySeed(bundle.section("seed").tobytes()).linear_share(node, self.ring.bits)

    def gate(self, bundle: Bundle, name: str, spec: GateSpec) -> ServerGate:
        """Key, corrections and masked share from the bundle; of a square delta, the rest from the server's seed."""
        seed = PartySeed(bundle.section("seed").tobytes()).gate_seed(name)
        if spec.kind == "square":
            delta = bundle.section(f"{name}/delta").view(self.ring.dtype)
            return SquareServer(spec, dealt.server_material(spec, seed, delta))
        return self.relu.server_gate(
            spec,
            seed=seed,
            salt=gate_salt(bundle.section("salt").tobytes(), name),
            key=bundle.section(f"{name}/key"),
            corrections=bundle.section(f"{name}/corrections"),
            masked=bundle.section(f"{name}/masked"),
        )


class FssClient(ClientParty):
    """Party 1 of backend ``fss``; a ClientRuntime. One instance a session."""

    def __init__(self, public: PublicArtifact, store: Path, pairing_id: str, **options: Any):
        """See ClientParty."""
        super().__init__(public, "fss", store, pairing_id, **options)
        self.relu = DcfRelu(threads=available_threads())

    @cached_property
    def layout(self) -> Layout:
        """See backends/fss/material.py."""
        return client_layout(self.schedule, self.relu, self.ring)

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
                ClientOffline(self.public, self.relu, layers, bundle, peer, channel).run_picture(self.reveal)
                watch.enter("store")
                peer.recv(len(ACK))
                self.store.put(material_id.hex(), bundle)
        finally:
            channel.close()

    def gate(self, bundle: Bundle, name: str, spec: GateSpec) -> ClientGate:
        """Key (of a square its offset) from the bundle, masks from the client's seed."""
        seed = PartySeed(bundle.section("seed").tobytes())
        if spec.kind == "square":
            offset = bundle.section(f"{name}/offset").view(self.ring.dtype)
            return SquareClient(spec, dealt.client_material(spec, seed.gate_seed(name), offset))
        return self.relu.client_gate(
            spec,
            seed=seed.gate_seed(name),
            salt=gate_salt(bundle.section("salt").tobytes(), name),
            key=bundle.section(f"{name}/key"),
            fresh_mask=seed.fresh_mask(name, spec.count, self.ring.bits),
        )
