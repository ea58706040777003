"""Backend ``fss``: Delphi's linear phase, ReLUs by function secret sharing, correlations from a dealer.

This module joins the two phases for each party; the protocols are in offline/, online/ and protocols/relu_dcf.
"""

import secrets
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import DealerLink
from pi_system.backends.ring_layer import RingLayer, available_threads
from pi_system.backends.secure_walk import argmax_index_bits
from pi_system.channel.base import Channel
from pi_system.errors import LocalProtocolError
from pi_system.offline.client import ClientOffline
from pi_system.offline.layout import Bundle
from pi_system.offline.material import client_layout, server_layout
from pi_system.offline.request import make_request
from pi_system.offline.schedule import Remask, plan
from pi_system.offline.seeds import PartySeed
from pi_system.offline.server import masked_weights, receive_picture
from pi_system.offline.store import MaterialStore
from pi_system.offline.weights import fetch_weights, offer_weights, weight_seed
from pi_system.online.client import ClientMaterial, answer_gates, open_logits, send_pictures
from pi_system.online.server import ServerMaterial, ServerOnline
from pi_system.program.encoding import encode_input, logits_to_float, quantise_weights
from pi_system.protocols.gate import ClientGate, GateSpec, ServerGate
from pi_system.protocols.relu_dcf import DcfRelu, Variant
from pi_system.ring.carrier import Ring

__all__ = ["DEFAULT_STORE_LIMIT_BYTES", "FssClient", "FssServer"]

DEFAULT_STORE_LIMIT_BYTES = 16_000_000_000
"""What a store may hold by default: about 90 inferences of a full ResNet18."""

_ACK = b"\1"


class _Party:
    """What both parties derive from the public model."""

    def __init__(self, public: PublicArtifact, variant: Variant):
        self.public, self.variant = public, variant
        self.relu = DcfRelu(variant, threads=available_threads())
        self.graph, self.config = public.public.graph, public.public.ring
        self.ring = Ring(self.config.ring_bits)
        self.schedule = plan(self.graph, self.config, public.masks)

    @property
    def backend(self) -> str:
        return f"fss-{self.variant}"


class FssServer(_Party):
    """Party 0 of backend ``fss``; a ServerRuntime. One instance a session."""

    def __init__(
        self,
        artifact: Artifact,
        store: Path,
        pairing_id: str,
        *,
        reveal_argmax: bool = False,
        variant: Variant = "bit",
        limit_bytes: int = DEFAULT_STORE_LIMIT_BYTES,
    ):
        """``store``: root folder of offline material; ``pairing_id``: the client's, 32 hex digits."""
        super().__init__(artifact, variant)
        digest = artifact.public.digest
        self._weights = quantise_weights(self.graph, self.config, artifact.weights)
        self._layers = {
            node.name: RingLayer(node, self.ring.from_signed(self._weights[f"{node.name}.weight"]))
            for node in self.graph
            if isinstance(node, Conv2d | Linear)
        }
        self._reveal_argmax = reveal_argmax
        self._layout = server_layout(self.schedule, self.relu, self.ring)
        self._model_folder = store / "server" / digest[:32]
        self._store = MaterialStore(
            store,
            role="server",
            digest=digest,
            backend=self.backend,
            pairing_id=pairing_id,
            limit_bytes=limit_bytes,
        )
        self._loaded: dict[tuple[str, ...], ServerMaterial] = {}

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures; see offline/dealer.py for the messages."""
        self._store.check_room(count * self._layout.nbytes)
        seed = weight_seed(self._model_folder)
        offer_weights(masked_weights(self.graph, self._weights, seed, self.ring), seed, peer)
        channel = dealer(make_request(self.public, self.variant))
        try:
            channel.send(seed)
            for _ in range(count):
                material_id = bytes(peer.recv(16)).hex()
                bundle = Bundle(self._layout)
                receive_picture(self.schedule, self.relu, bundle, peer, channel)
                self._store.put(material_id, bundle)
                peer.send(_ACK)
        finally:
            channel.close()

    def reserve(self, ids: tuple[str, ...]) -> None:
        """Mark the named material used, durably, and load it."""
        for material_id in ids:
            self._store.take(material_id)
        self._loaded[ids] = self._material([self._store.load(material_id, self._layout) for material_id in ids])

    def infer(self, ids: tuple[str, ...], peer: Channel) -> None:
        """Online phase for ``len(ids)`` pictures."""
        material = self._loaded.pop(ids, None)
        if material is None:
            raise LocalProtocolError("online phase: expected reserved material, found none")
        online = ServerOnline(self.public, self._layers, material, peer)
        online.infer(reveal_argmax=self._reveal_argmax)

    def _material(self, bundles: list[Bundle]) -> ServerMaterial:
        seeds = [PartySeed(bundle.section("seed").tobytes()) for bundle in bundles]
        offsets = {}
        for name, layer in self._layers.items():
            bias = self.ring.from_signed(self._weights[f"{name}.bias"])
            bias = bias.reshape(1, -1, *(1,) * (len(layer.node.shape) - 1))
            shares = [seed.linear_share(layer.node, self.ring.bits) for seed in seeds]
            offsets[name] = np.concatenate(shares) + bias
        differences = {
            step.name: np.stack([b.section(f"{step.name}/difference").view(self.ring.dtype) for b in bundles])
            for step in self.schedule.steps
            if isinstance(step, Remask)
        }
        return ServerMaterial(offsets, differences, partial(self._gate, bundles, seeds), len(bundles))

    def _gate(self, bundles: list[Bundle], seeds: list[PartySeed], i: int, name: str, spec: GateSpec) -> ServerGate:
        section = bundles[i].section
        return self.relu.server_gate(
            spec,
            seed=seeds[i].gate_seed(name),
            salt=section("salt").tobytes(),
            key=section(f"{name}/key"),
            corrections=section(f"{name}/corrections"),
            masked=section(f"{name}/masked"),
        )


class FssClient(_Party):
    """Party 1 of backend ``fss``; a ClientRuntime. One instance a session."""

    def __init__(
        self,
        public: PublicArtifact,
        store: Path,
        pairing_id: str,
        *,
        reveal_argmax: bool = False,
        variant: Variant = "bit",
        limit_bytes: int = DEFAULT_STORE_LIMIT_BYTES,
    ):
        """``store``: root folder of offline material; ``pairing_id``: this client's, 32 hex digits."""
        super().__init__(public, variant)
        digest = public.public.digest
        self._reveal_argmax = reveal_argmax
        self._layout = client_layout(self.schedule, self.relu, self.ring)
        self._model_folder = store / "client" / digest[:32]
        self._store = MaterialStore(
            store,
            role="client",
            digest=digest,
            backend=self.backend,
            pairing_id=pairing_id,
            limit_bytes=limit_bytes,
        )
        self._loaded: dict[tuple[str, ...], ClientMaterial] = {}

    def available(self) -> int:
        """Prepared, unused inferences on this side."""
        return len(self._store.ids())

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures; see offline/dealer.py for the messages."""
        self._store.check_room(count * self._layout.nbytes)
        masked = fetch_weights(self._model_folder, self.graph, self.ring, peer)
        layers = {
            node.name: RingLayer(node, masked[node.name]) for node in self.graph if isinstance(node, Conv2d | Linear)
        }
        channel = dealer(make_request(self.public, self.variant))
        try:
            for _ in range(count):
                material_id = secrets.token_bytes(16)
                peer.send(material_id)
                bundle = Bundle(self._layout)
                ClientOffline(self.public, self.relu, layers, bundle, peer, channel).run_picture()
                peer.recv(len(_ACK))
                self._store.put(material_id.hex(), bundle)
        finally:
            channel.close()

    def reserve(self, count: int) -> tuple[str, ...]:
        """Mark ``count`` bundles used, durably, and load them."""
        ids = self._store.take_next(count)
        self._loaded[ids] = self._material([self._store.load(material_id, self._layout) for material_id in ids])
        return ids

    def infer(self, pictures: NDArray[np.float32], ids: tuple[str, ...], peer: Channel) -> NDArray[np.float64]:
        """Online phase: preprocessed pictures (N, C, H, W) to logits (N, classes), or labels (N, 1)."""
        material = self._loaded.pop(ids, None)
        if material is None or len(pictures) != len(ids):
            raise LocalProtocolError(f"online phase: expected reserved material for {len(pictures)} pictures")
        send_pictures(encode_input(pictures, self.graph, self.config), material, self.ring, peer)
        argmax = self._reveal_argmax
        gates = self.schedule.gates(argmax=False) + (self.schedule.gates(argmax=True) if argmax else [])
        answer_gates([(gate.name, gate.spec) for gate in gates], material, peer)
        if argmax:
            return self._open_label(material, peer)
        return logits_to_float(open_logits(material.output_share, self.ring, peer), self.graph, self.config)

    def _open_label(self, material: ClientMaterial, peer: Channel) -> NDArray[np.float64]:
        index_bits = argmax_index_bits(self.graph.nodes[-1].shape[0])
        winner = open_logits(material.label_share, self.ring, peer)
        return (winner & ((1 << index_bits) - 1)).astype(np.float64)

    def _material(self, bundles: list[Bundle]) -> ClientMaterial:
        seeds = [PartySeed(bundle.section("seed").tobytes()) for bundle in bundles]
        node, dtype = self.graph.input, self.ring.dtype
        size = int(np.prod(node.shape))
        return ClientMaterial(
            input_mask=np.stack([seed.fresh_mask(node.name, size, self.ring.bits) for seed in seeds]),
            output_share=np.stack([bundle.section("output").view(dtype) for bundle in bundles]),
            label_share=np.stack([bundle.section("label").view(dtype) for bundle in bundles]),
            gates=partial(self._gate, bundles, seeds),
            batch=len(bundles),
        )

    def _gate(self, bundles: list[Bundle], seeds: list[PartySeed], i: int, name: str, spec: GateSpec) -> ClientGate:
        section = bundles[i].section
        return self.relu.client_gate(
            spec,
            seed=seeds[i].gate_seed(name),
            salt=section("salt").tobytes(),
            key=section(f"{name}/key"),
            fresh_mask=seeds[i].fresh_mask(name, spec.count, self.ring.bits),
        )
