"""A backend made of the shared pieces, without cryptography: INSECURE, the parties show each other their shares.

What a new backend has to say, and no more; docs/how-to/add-a-backend.md goes through it. Its gate is ideal:

    server                              client
    y_0                           -->   f(y_0 + y_1) - r
    D                             <--
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.two_party.backend import deal
from pi_system.channel.base import Channel, DealerLink
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material, Shapes
from pi_system.protocols.phases import ServerSteps
from pi_system.protocols.record import GateProtocol
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.ring.prg import fresh_seed
from pi_system.secure.layout import Bundle, BundleDraft
from pi_system.secure.offline import ClientWalk, ServerFill
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.party import ClientParty, Fill, ServerParty, one_by_one
from pi_system.secure.schedule import Gate, Gates, Truncation, Weighted
from pi_system.secure.seeds import party_seed
from pi_system.secure.values import Computed, Value

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = False
NAME = "insecure-ideal"


class IdealServer(ServerSteps):
    """Party 0."""

    def __init__(self, spec: GateSpec, material: Material) -> None:
        super().__init__(spec)

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        return wire(self._shares.pop(first))

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        self._out[first : first + count] = np.frombuffer(reply, self._out.dtype)


class IdealClient:
    """Party 1."""

    def __init__(self, spec: GateSpec, material: Material) -> None:
        self._spec, self._material, self._ring = spec, material, Ring(spec.ring_bits)

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        share, mask = (self._material[name][first : first + count] for name in ("share", "mask"))
        y = self._ring.to_signed(np.frombuffer(message, self._ring.dtype) + share)
        out = y * y if self._spec.kind == "square" else np.maximum((y + self._spec.half) >> self._spec.shift, 0)
        return wire(self._ring.reduce(self._ring.from_signed(out) - mask))


def _message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    return count * Ring(spec.ring_bits).itemsize


def _client_shapes(spec: GateSpec) -> Shapes:
    return {name: ((spec.count,), Ring(spec.ring_bits).dtype.type) for name in ("share", "mask")}


IDEAL = GateProtocol(
    name=NAME,
    round_trips=1,
    message_bytes=_message_bytes,
    reply_bytes=_message_bytes,
    server_shapes=lambda spec: {},
    client_shapes=_client_shapes,
    server_steps=IdealServer,
    client_steps=IdealClient,
    work=lambda spec, count: {"send": {}, "work": {}, "reply": {}, "receive": {}},
    prepared=lambda spec: {},
)
GATES: Gates = {"relu": IDEAL, "exact": IDEAL, "square": IDEAL}


class InsecureServer(ServerParty):
    """Party 0: its offline phase, and where its shares of weighted layers come from."""

    def __init__(self, artifact: Artifact, options: RuntimeOptions) -> None:
        super().__init__(artifact, GATES, options)

    @contextmanager
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        yield one_by_one(lambda bundle: _Fill(self, bundle, peer).fill())

    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        return party_seed(bundle).linear_share(node, self.ring.bits)

    def layer(self, draft: BundleDraft, node: WeightedNode, mask: RingArray) -> RingArray:
        return self.ring.reduce(self.layers[node.name](mask) - party_seed(draft).linear_share(node, self.ring.bits))


class _Fill(ServerFill):
    def __init__(self, party: InsecureServer, bundle: BundleDraft, client: Channel) -> None:
        bundle.fill("seed", fresh_seed())
        super().__init__(party.schedule, GATES, bundle, client)
        self._party, self._ring = party, party.ring
        self._shapes = {node.name: node.shape for node in party.graph}

    def _weighted(self, step: Weighted) -> None:
        shape = self._shapes[step.node.inputs[0]]
        mask = self._receive(int(np.prod(shape))).reshape(1, *shape)
        self.client.send(wire(self._party.layer(self.bundle, step.node, mask)))

    def _material(self, step: Gate) -> Material:
        return {}

    def _pair(self, step: Truncation) -> tuple[RingArray, RingArray]:
        y_1, mask = self._receive(2 * step.spec.count).reshape(2, -1)
        above = self._ring.element(1 << (self._ring.bits - 1))  # makes a negative y positive
        return y_1 + above, (above >> self._ring.dtype.type(step.spec.shift)) + mask

    def _receive(self, count: int) -> RingArray:
        return np.frombuffer(self.client.recv(count * self._ring.itemsize), self._ring.dtype)


class InsecureClient(ClientParty):
    """Party 1."""

    def __init__(self, public: PublicArtifact, options: RuntimeOptions) -> None:
        super().__init__(public, GATES, options)

    @contextmanager
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        def fill(bundle: BundleDraft) -> None:
            bundle.fill("seed", fresh_seed())
            _Walk(self.public, GATES, bundle, peer).fill(self.reveal)

        yield one_by_one(fill)


class _Walk(ClientWalk):
    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        self.server.send(wire(x))
        size = int(np.prod(node.shape)) * self.ring.itemsize
        return Computed(np.frombuffer(self.server.recv(size), self.ring.dtype).reshape(1, *node.shape))

    def _prepare(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> None:
        self._keep(name, spec, {"share": share, "mask": mask})

    def _pair(self, name: str, spec: TruncationSpec, share: RingArray, mask: RingArray) -> None:
        self.server.send(wire(np.concatenate([share, mask])))


make_server = InsecureServer
make_client = InsecureClient
