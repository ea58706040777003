"""What every backend of the fast runtime shares: material at rest, its reservation, and the online phase.

A backend adds where its correlations come from (``filling``), which seeds it keeps and which protocols serve its gates.
"""

import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from math import prod
from shutil import disk_usage
from typing import ClassVar, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.channel.base import Channel, DealerLink
from pi_system.channel.profile import profiler_of
from pi_system.errors import ConfigError, LocalProtocolError, RemoteProtocolError, StorageError
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.reveal import outputs_to_float
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.ring.carrier import Ring, RingArray
from pi_system.secure.kept import HEADER_BYTES
from pi_system.secure.layout import Bundle, BundleDraft, Layout
from pi_system.secure.online import ClientOnline, ServerOnline
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.pairing import PairedStore, meet_client, meet_server
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import Gates, plan
from pi_system.secure.seeds import party_seed

STORE_LIMIT_BYTES: Final = 16_000_000_000
"""What a store may hold: about 90 inferences of a full ResNet18 under ``fss``."""

MAX_BATCH_BYTES: Final = 4 << 30
"""Material that a batch may have a server read into memory; clients of this package cut theirs at a quarter of it."""

G = TypeVar("G", ServerGate, ClientGate)
_LOG = logging.getLogger(__name__)
_ID_BYTES: Final = 16
ACK: Final = b"\1"
"""The server's word that its half of a bundle is on disk; only then the client keeps the other half."""

Fill = Callable[[Sequence[BundleDraft]], None]
"""One party's offline phase of the pictures of a run, everything around it prepared."""


def one_by_one(fill: Callable[[BundleDraft], None]) -> Fill:
    """The pictures of a run one after the other."""

    def fill_all(drafts: Sequence[BundleDraft]) -> None:
        for draft in drafts:
            fill(draft)

    return fill_all


class _Party(ABC):
    """What both parties derive from the public model.

    server                      client
    setup                 <->   setup              once a call or session: ``filling``
                          <--   material ids       run by run: of the pictures that are made side by side
    fill their bundles    <->   fill their bundles
    written               -->   written            ACKs: the server's halves are on its disk
    """

    role: ClassVar[int]
    """0: the server, 1: the client."""
    seeds: ClassVar[tuple[str, ...]] = ("seed",)
    """What a bundle holds of each picture besides its steps' sections."""

    def __init__(self, public: PublicArtifact, gates: Gates, options: RuntimeOptions):
        """``gates``: the protocols. Raises ConfigError for an insecure provider, which only the baseline has."""
        if options.insecure_provider:
            raise ConfigError(f"insecure provider: expected backend crypten, found {options.backend}")
        self.public, self.gates, self.reveal = public, gates, options.reveal
        self.graph, self.config = public.public.graph, public.public.ring
        self.ring = Ring(self.config.ring_bits)
        self.schedule = plan(self.graph, self.config, public.masks, self.reveal)
        self.side = ("server", "client")[self.role]
        self.model_folder = options.store_dir / self.side / public.public.digest[:32]
        self.store = PairedStore(
            options.store_dir,
            role=self.side,
            digest=public.public.digest,
            backend=f"{options.backend}-{self.reveal}",
            pairing_id=options.client_id,
            limit_bytes=STORE_LIMIT_BYTES,
        )

    @cached_property
    def layout(self) -> Layout:
        """Layout of this party's bundles."""
        return self.schedule.layout(self.role, self.gates, self.ring, self.seeds)

    def _bundles(self, ids: tuple[str, ...]) -> list[Bundle]:
        """The bundles of a use that is on disk as reserved."""
        return [self.store.load(self.store.id_of(name), self.layout) for name in ids]

    def lasting_bytes(self, count: int) -> int:
        """What ``prepare`` leaves on disk once a model, beside the material, unless it is there."""
        return 0

    def disk_bytes(self, count: int) -> int:
        """What ``prepare`` will take of the disk."""
        return count * (self.layout.nbytes + HEADER_BYTES) + self.lasting_bytes(count)

    def check_room(self, count: int) -> int:
        """What ``prepare`` will take of the disk; LimitError or StorageError for more than there is room for."""
        self.store.check_room(count * (self.layout.nbytes + HEADER_BYTES))
        taken, free = self.disk_bytes(count), disk_usage(self.model_folder.parent).free
        if taken > free:
            raise StorageError(
                f"storage: expected {taken / 1e6:,.1f} MB of free disk at the {self.side} for {count} inferences, "
                f"found {f'{free / 1e6:,.1f}' if self.role else 'less'}"  # how much is not a client's to know
            )
        return taken

    @abstractmethod
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> AbstractContextManager[Fill]:
        """Set an offline phase up and clean up after it; between them what fills the bundles of each of ``runs``."""

    def runs(self, count: int) -> list[int]:
        """How many pictures are made side by side, run by run, of ``count``: alike for both parties."""
        return [1] * count

    @contextmanager
    def _making(self, ids: Sequence[str]) -> Iterator[list[BundleDraft]]:
        """The bundles of a run to fill; on disk when the block ends.

        After an error in it none is; after one of its end, such as a full disk, the client, which has the server's
        ACKs, keeps what is on its disk, and the server nothing.
        """
        made: list[str] = []
        try:
            with ExitStack() as drafts:
                yield [drafts.enter_context(self._made(material_id, made)) for material_id in ids]
        except BaseException:
            if self.role == 0:
                self.store.discard(made)
            raise

    @contextmanager
    def _made(self, material_id: str, made: list[str]) -> Iterator[BundleDraft]:
        with self.store.making(material_id, self.layout) as draft:
            yield draft
        made.append(material_id)

    def derived(self, bundle: Bundle, name: str, spec: GateSpec) -> Material:
        """What a gate takes besides its stored material."""
        return {}

    def _gates(self, bundles: list[Bundle], make: Callable[[Bundle, str, GateSpec], G]) -> Iterator[list[G]]:
        """The schedule's gates of every picture, made as they are asked for: when the one before may not be over."""
        over = ""
        for gate in self.schedule.gates:
            yield [make(bundle, gate.name, gate.spec) for bundle in bundles]
            for bundle in bundles if over else []:
                bundle.drop(over)
            over = gate.name


def _cut(ids: bytes) -> list[str]:
    """The ids of a run."""
    return [ids[at : at + _ID_BYTES].hex() for at in range(0, len(ids), _ID_BYTES)]


class ServerParty(_Party):
    """Party 0; with ``filling`` a ServerRuntime. One instance a session."""

    role = 0

    def __init__(self, artifact: Artifact, gates: Gates, options: RuntimeOptions):
        """Errors as for any party."""
        super().__init__(artifact, gates, options)
        self._loaded: dict[tuple[str, ...], ServerOnline] = {}
        self.weights = quantise_weights(self.graph, self.config, artifact.weights, narrow=True)

    @cached_property
    def layers(self) -> dict[str, RingLayer]:
        """The weighted nodes, packed for the online phase when it comes first."""
        weights = {node: self.weights[f"{node.name}.weight"] for node in self.graph.weighted}
        return {node.name: RingLayer(node, self.ring.from_signed(weight)) for node, weight in weights.items()}

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures."""
        _LOG.info("%d inferences take %.1f MB of disk", count, self.check_room(count) / 1e6)
        with self.filling(count, peer, dealer) as fill:
            for pictures in self.runs(count):
                ids = _cut(bytes(peer.recv(pictures * _ID_BYTES)))
                with self._making(ids) as drafts:
                    fill(drafts)
                    profiler_of(peer).enter("store")
                peer.send(ACK * pictures)

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
        self._loaded[ids] = self._run(self._bundles(ids))

    def infer(self, ids: tuple[str, ...], peer: Channel) -> None:
        """Online phase for ``len(ids)`` pictures."""
        material = self._loaded.pop(ids, None)
        if material is None:
            raise LocalProtocolError("online phase: expected reserved material, found none")
        material.infer(self.reveal, peer)

    def _run(self, bundles: list[Bundle]) -> ServerOnline:
        offsets = {}
        for node in self.graph.weighted:
            bias = self.ring.from_signed(self.weights[f"{node.name}.bias"])
            bias = bias.reshape(1, -1, *(1,) * (len(node.shape) - 1))
            offsets[node.name] = np.concatenate([self.linear_share(bundle, node) for bundle in bundles]) + bias
        for owner in self.public.public.graph.biased():
            bias = self.ring.from_signed(self.weights[f"{owner.name}.bias"])
            offsets[owner.name] = bias.reshape(1, -1, *(1,) * (len(owner.shape) - 1))

        def elements(name: str) -> RingArray:
            rows = [bundle.section(name).view(self.ring.dtype) for bundle in bundles]
            return rows[0][None] if len(rows) == 1 else np.stack(rows)

        return ServerOnline(
            self.public,
            self.layers,
            offsets=offsets,
            elements=elements,
            batch=len(bundles),
            gates=self._gates(bundles, self.gate),
        )


class ClientParty(_Party):
    """Party 1; with ``filling`` a ClientRuntime. One instance a session."""

    role = 1

    def __init__(self, public: PublicArtifact, gates: Gates, options: RuntimeOptions):
        """Errors as for any party."""
        super().__init__(public, gates, options)
        self._loaded: dict[tuple[str, ...], ClientOnline] = {}

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures."""
        self.check_room(count)
        with self.filling(count, peer, dealer) as fill:
            for pictures in self.runs(count):
                ids = secrets.token_bytes(pictures * _ID_BYTES)
                with self._making(_cut(ids)) as drafts:
                    peer.send(ids)
                    fill(drafts)
                    profiler_of(peer).enter("store")
                    peer.recv(len(ACK) * pictures)

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

    @cached_property
    def burst_bytes(self) -> int:
        """The most that either party sends online for a picture before it waits for an answer."""
        return self.schedule.burst_bytes(self.gates, self.ring, prod(self.graph.input.shape))

    def available(self) -> int:
        """Prepared, unused inferences on this side."""
        return len(self.store.ids())

    def reserve(self, count: int) -> tuple[str, ...]:
        """Mark ``count`` bundles used, durably, and load them."""
        ids = self.store.reserve_next(count)
        self._loaded[ids] = self._run(self._bundles(ids))
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
        opened = material.infer(encoded, self.schedule.gates, peer)
        return outputs_to_float(opened, self.graph, self.config, self.reveal)

    def _run(self, bundles: list[Bundle]) -> ClientOnline:
        node, dtype = self.graph.input, self.ring.dtype
        seeds, size = [party_seed(bundle) for bundle in bundles], prod(node.shape)
        return ClientOnline(
            ring=self.ring,
            input_mask=np.stack([seed.fresh_mask(node.name, size, self.ring.bits) for seed in seeds]),
            output_share=np.stack([bundle.section("output").view(dtype) for bundle in bundles]),
            gates=self._gates(bundles, self.gate),
        )
