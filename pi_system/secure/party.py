"""What every backend of the fast runtime shares: material at rest, its reservation, and the online phase.

A backend adds where its correlations come from (``prepare``), which seeds it keeps and which protocols serve its gates.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.channel.base import Channel
from pi_system.errors import LocalProtocolError, RemoteProtocolError
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.reveal import Reveal, outputs_to_float
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.ring.carrier import Ring, RingArray
from pi_system.secure.layout import Bundle, Layout
from pi_system.secure.online import ClientMaterial, ServerMaterial, ServerOnline, infer_client
from pi_system.secure.pairing import PairedStore, meet_client, meet_server
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import Gates, plan
from pi_system.secure.seeds import PartySeed

DEFAULT_STORE_LIMIT_BYTES = 16_000_000_000
"""What a store may hold by default: about 90 inferences of a full ResNet18 under ``fss``."""

MAX_BATCH_BYTES = 4 << 30
"""Material that a batch may have a server read into memory; clients of this package cut theirs at a quarter of it."""

ACK = b"\1"
"""The server's word that its half of a bundle is on disk; only then the client keeps the other half."""


class _Party(ABC):
    """What both parties derive from the public model."""

    role: ClassVar[int]
    """0: the server, 1: the client."""
    seeds: ClassVar[tuple[str, ...]] = ("seed",)
    """What a bundle holds of each picture besides its steps' sections."""

    def __init__(self, public: PublicArtifact, backend: str, gates: Gates, reveal: Reveal):
        self.public, self.backend, self.gates, self.reveal = public, backend, gates, reveal
        self.graph, self.config = public.public.graph, public.public.ring
        self.ring = Ring(self.config.ring_bits)
        self.schedule = plan(self.graph, self.config, public.masks, reveal)
        self.weighted = self.graph.weighted

    @cached_property
    def layout(self) -> Layout:
        """Layout of this party's bundles."""
        return self.schedule.layouts(self.gates, self.ring, self.seeds)[self.role]

    def derived(self, bundle: Bundle, name: str, spec: GateSpec) -> Material:
        """What a gate takes besides its stored material."""
        return {}

    def open_store(self, store: Path, role: str, pairing_id: str, limit_bytes: int) -> PairedStore:
        """This party's material for this model, backend, peer and what is revealed."""
        return PairedStore(
            store,
            role=role,
            digest=self.public.public.digest,
            backend=f"{self.backend}-{self.reveal}",
            pairing_id=pairing_id,
            limit_bytes=limit_bytes,
        )


class ServerParty(_Party):
    """Party 0; with ``prepare`` a ServerRuntime. One instance a session."""

    role = 0

    def __init__(
        self,
        artifact: Artifact,
        backend: str,
        gates: Gates,
        store: Path,
        pairing_id: str,
        *,
        reveal: Reveal = "label",
        limit_bytes: int = DEFAULT_STORE_LIMIT_BYTES,
    ):
        """``store``: root folder of offline material; ``pairing_id``: the client's, 32 hex digits."""
        super().__init__(artifact, backend, gates, reveal)
        self.weights = quantise_weights(self.graph, self.config, artifact.weights)
        self._layers = {
            node.name: RingLayer(node, self.ring.from_signed(self.weights[f"{node.name}.weight"]))
            for node in self.weighted
        }
        self.model_folder = store / "server" / artifact.public.digest[:32]
        self.store = self.open_store(store, "server", pairing_id, limit_bytes)
        self._loaded: dict[tuple[str, ...], ServerMaterial] = {}

    @abstractmethod
    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        """c_s of one layer for the picture of ``bundle``, (1, *node.shape)."""

    def gate(self, bundle: Bundle, name: str, spec: GateSpec) -> ServerGate:
        """Party 0's gate with the material in ``bundle``."""
        gate = self.gates[spec.kind]
        stored = bundle.take(name, gate.server_shapes(spec))
        return gate.server_gate(spec, stored | self.derived(bundle, name, spec))

    def meet(self, peer: Channel) -> None:
        """Compare records of uses with the client; see secure/pairing.py."""
        meet_server(self.store, peer)

    def reserve(self, ids: tuple[str, ...]) -> None:
        """Mark the named material used, durably, and load it. Raises RemoteProtocolError for more than fits."""
        if len(ids) > 1 and len(ids) * self.layout.nbytes > MAX_BATCH_BYTES:
            raise RemoteProtocolError(
                f"batch: expected at most {MAX_BATCH_BYTES} bytes of material, found {len(ids)} of {self.layout.nbytes}"
            )
        self.store.reserve_named(ids)
        self._loaded[ids] = self._material([self.store.load(self.store.id_of(name), self.layout) for name in ids])

    def infer(self, ids: tuple[str, ...], peer: Channel) -> None:
        """Online phase for ``len(ids)`` pictures."""
        material = self._loaded.pop(ids, None)
        if material is None:
            raise LocalProtocolError("online phase: expected reserved material, found none")
        ServerOnline(self.public, self._layers, material, peer).infer(self.reveal)

    def _material(self, bundles: list[Bundle]) -> ServerMaterial:
        offsets = {}
        for node in self.weighted:
            bias = self.ring.from_signed(self.weights[f"{node.name}.bias"])
            bias = bias.reshape(1, -1, *(1,) * (len(node.shape) - 1))
            offsets[node.name] = np.concatenate([self.linear_share(bundle, node) for bundle in bundles]) + bias

        def stacked(name: str) -> RingArray:
            return np.stack([bundle.section(name).view(self.ring.dtype) for bundle in bundles])

        return ServerMaterial(
            offsets=offsets,
            elements={name: stacked(name) for step in self.schedule.steps for name in step.server_elements},
            gates=lambda i, name, spec: self.gate(bundles[i], name, spec),
            batch=len(bundles),
        )


class ClientParty(_Party):
    """Party 1; with ``prepare`` a ClientRuntime. One instance a session."""

    role = 1

    def __init__(
        self,
        public: PublicArtifact,
        backend: str,
        gates: Gates,
        store: Path,
        pairing_id: str,
        *,
        reveal: Reveal = "label",
        limit_bytes: int = DEFAULT_STORE_LIMIT_BYTES,
    ):
        """``store``: root folder of offline material; ``pairing_id``: this client's, 32 hex digits."""
        super().__init__(public, backend, gates, reveal)
        self.model_folder = store / "client" / public.public.digest[:32]
        self.store = self.open_store(store, "client", pairing_id, limit_bytes)
        self._loaded: dict[tuple[str, ...], ClientMaterial] = {}

    def gate(self, bundle: Bundle, name: str, spec: GateSpec) -> ClientGate:
        """Party 1's gate with the material in ``bundle``."""
        gate = self.gates[spec.kind]
        stored = bundle.take(name, gate.client_shapes(spec))
        return gate.client_gate(spec, stored | self.derived(bundle, name, spec))

    def meet(self, peer: Channel) -> None:
        """Compare records of uses with the server; see secure/pairing.py."""
        meet_client(self.store, peer)

    @property
    def inference_bytes(self) -> int:
        """Bytes of one inference's material on this side."""
        return self.layout.nbytes

    def available(self) -> int:
        """Prepared, unused inferences on this side."""
        return len(self.store.ids())

    def reserve(self, count: int) -> tuple[str, ...]:
        """Mark ``count`` bundles used, durably, and load them."""
        ids = self.store.reserve_next(count)
        self._loaded[ids] = self._material([self.store.load(self.store.id_of(name), self.layout) for name in ids])
        return ids

    def confirm(self, ids: tuple[str, ...]) -> None:
        """Note that the server has reserved ``ids``."""
        self.store.confirm(ids)

    def infer(self, pictures: NDArray[np.float32], ids: tuple[str, ...], peer: Channel) -> NDArray[np.float64]:
        """Online phase: preprocessed pictures (N, C, H, W) to logits or scores (N, classes), or labels (N, 1)."""
        material = self._loaded.pop(ids, None)
        if material is None or len(pictures) != len(ids):
            raise LocalProtocolError(f"online phase: expected reserved material for {len(pictures)} pictures")
        encoded = encode_input(pictures, self.graph, self.config)
        opened = infer_client(encoded, self.schedule.gates, material, self.ring, peer)
        return outputs_to_float(opened, self.graph, self.config, self.reveal)

    def _material(self, bundles: list[Bundle]) -> ClientMaterial:
        node, dtype = self.graph.input, self.ring.dtype
        seeds = [PartySeed(bundle.section("seed").tobytes()) for bundle in bundles]
        size = int(np.prod(node.shape))
        return ClientMaterial(
            input_mask=np.stack([seed.fresh_mask(node.name, size, self.ring.bits) for seed in seeds]),
            output_share=np.stack([bundle.section("output").view(dtype) for bundle in bundles]),
            gates=lambda i, name, spec: self.gate(bundles[i], name, spec),
            batch=len(bundles),
        )
