"""Both parties' offline phase with a dealer: masks, shares, keys and corrections; dealer.py has the messages."""

from collections.abc import Iterator

import numpy as np

from pi_system.artifact.graph import Graph, WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.fss.gates import SEEDS, DealtGates, sizes
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.program.encoding import IntWeights
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.truncation import TruncationSpec
from pi_system.protocols.truncation import dealt as truncation
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.layout import BundleDraft
from pi_system.secure.offline import ClientWalk, ServerFill
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import Gate, Schedule, Truncation, Weighted
from pi_system.secure.seeds import fixed_mask, gate_salt, party_seed
from pi_system.secure.values import Computed, Value


def masked_weights(graph: Graph, weights: IntWeights, weight_seed: bytes, ring: Ring) -> Iterator[RingArray]:
    """E = W - B of one weighted node after the other: what the client needs once a model; uniform without B's seed."""
    for node in graph.weighted:
        mask = fixed_mask(weight_seed, node, ring.bits)
        yield ring.reduce(ring.from_signed(weights[f"{node.name}.weight"]) - mask)


def _receive_seeds(bundle: BundleDraft, dealer: Channel) -> bytes:
    """Fill in what the dealer sends first, this party's seed and the salt; returns the salt."""
    seeds = dealer.recv(2 * SEED_BYTES)
    for name, seed in zip(SEEDS, (seeds[:SEED_BYTES], seeds[SEED_BYTES:]), strict=True):
        bundle.fill(name, seed)
    return bytes(seeds[SEED_BYTES:])


class FssFill(ServerFill):
    """The server stores keys, corrections and the client's messages."""

    gates: DealtGates

    def __init__(
        self, schedule: Schedule, gates: DealtGates, ring: Ring, bundle: BundleDraft, client: Channel, dealer: Channel
    ):
        """Receives the seeds of ``bundle``. Every message size is known from the public model."""
        self._salt = _receive_seeds(bundle, dealer)
        super().__init__(schedule, gates, bundle, client)
        self._ring, self._seed, self._dealer = ring, party_seed(bundle), dealer

    def _messages(self, step: Gate | Truncation) -> tuple[list[memoryview], list[memoryview]]:
        expected = sizes(step, self.gates, self._ring)
        dealt = [self._dealer.recv(nbytes) for nbytes in expected.to_server]
        return dealt, [self.client.recv(nbytes) for nbytes in expected.up]

    def _material(self, step: Gate) -> Material:
        dealt, sent = self._messages(step)
        keys = self._seed.gate_seed(step.name), gate_salt(self._salt, step.name)
        return self.gates[step.spec.kind].server_offline(step.spec, *keys, dealt, *sent)

    def _pair(self, step: Truncation) -> tuple[RingArray, RingArray]:
        dealt, sent = self._messages(step)
        offset = truncation.receive_masked(step.spec, self._seed.gate_seed(step.name), *sent)
        return offset, truncation.receive_correction(step.spec, *dealt)


class FssWalk(ClientWalk):
    """The client adds E * r, E = W - B, to what the dealer sends; ``layers`` hold E of every weighted node."""

    gates: DealtGates

    def __init__(
        self,
        public: PublicArtifact,
        gates: DealtGates,
        layers: dict[str, RingLayer],
        bundle: BundleDraft,
        server: Channel,
        dealer: Channel,
    ):
        """Receives the seeds of ``bundle``. Every message size is known from the public model."""
        self._salt = _receive_seeds(bundle, dealer)
        super().__init__(public, gates, bundle, server)
        self._layers, self._dealer, self._watch = layers, dealer, profiler_of(server)

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        self._watch.enter("linear")
        (dealt,) = self._dealt(Weighted(node, int(np.prod(node.shape))))
        correlation = np.frombuffer(dealt, self.ring.dtype).reshape(1, *node.shape)
        return Computed(self._layers[node.name](x) + correlation)

    def _prepare(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> None:
        self._watch.enter("gates")
        keys, dealt = (self.seed.gate_seed(name), gate_salt(self._salt, name)), self._dealt(Gate(name, spec))
        material, message = self.gates[spec.kind].client_offline(spec, *keys, share, mask, dealt)
        self.server.send(message)
        self._keep(name, spec, material)

    def _pair(self, name: str, spec: TruncationSpec, share: RingArray, mask: RingArray) -> None:
        self.server.send(truncation.mask_share(spec, self.seed.gate_seed(name), share))

    def _dealt(self, step: Gate | Weighted) -> list[memoryview]:
        return [self._dealer.recv(nbytes) for nbytes in sizes(step, self.gates, self.ring).to_client]
