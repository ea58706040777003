"""A backend made of the shared pieces, without cryptography: INSECURE, the parties show each other their shares.

What a new backend has to say, and no more; docs/add-a-backend.md goes through it. Its gate is the ideal functionality:

    server                              client
    y_0                           -->   f(y_0 + y_1) - r
    D                             <--
"""

import secrets
from typing import Any

import numpy as np

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, DealerLink, ServerRuntime
from pi_system.backends.registry import RuntimeOptions
from pi_system.backends.two_party.backend import deal
from pi_system.channel.base import Channel
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material, Shapes
from pi_system.protocols.phases import ServerSteps
from pi_system.protocols.record import GateProtocol
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.ring.prg import fresh_seed
from pi_system.secure.client_walk import ClientWalk
from pi_system.secure.layout import Bundle
from pi_system.secure.party import ACK, ClientParty, ServerParty
from pi_system.secure.schedule import Gates, Remask, Truncation, Weighted
from pi_system.secure.seeds import PartySeed
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, active

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = False
NAME = "insecure-ideal"


class IdealServer(ServerSteps):
    """Party 0."""

    def __init__(self, spec: GateSpec, material: Material):
        super().__init__(spec)

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        return wire(self._shares.pop(first))

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        self._out[first : first + count] = np.frombuffer(reply, self._out.dtype)


class IdealClient:
    """Party 1."""

    def __init__(self, spec: GateSpec, material: Material):
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
)
GATES: Gates = {"relu": IDEAL, "square": IDEAL}


class InsecureServer(ServerParty):
    """Party 0: its offline phase, and where its shares of weighted layers come from."""

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        self._shapes = {node.name: node.shape for node in self.graph}
        for _ in range(count):
            material_id, bundle = bytes(peer.recv(16)).hex(), Bundle(self.layout)
            bundle.fill("seed", fresh_seed())
            for step in self.schedule.steps:
                match step:
                    case Weighted():
                        self._answer(bundle, step.node, peer)
                    case Truncation():
                        y_1, mask = self._receive(2 * step.spec.count, peer).reshape(2, -1)
                        above = self.ring.element(1 << (self.ring.bits - 1))  # makes a negative y positive
                        correction = (above >> self.ring.dtype.type(step.spec.shift)) + mask
                        bundle.fill(f"{step.name}/offset", wire(y_1 + above))
                        bundle.fill(f"{step.name}/correction", wire(correction))
                    case Remask():
                        bundle.fill(f"{step.name}/difference", wire(self._receive(step.count, peer)))
            self.store.put(material_id, bundle)
            peer.send(ACK)

    def linear_share(self, bundle: Bundle, node: Conv2d | Linear) -> RingArray:
        return PartySeed(bundle.section("seed").tobytes()).linear_share(node, self.ring.bits)

    def _answer(self, bundle: Bundle, node: Conv2d | Linear, client: Channel) -> None:
        shape = self._shapes[node.inputs[0]]
        mask = self._receive(int(np.prod(shape)), client).reshape(1, *shape)
        client.send(wire(self.ring.reduce(self._layers[node.name](mask) - self.linear_share(bundle, node))))

    def _receive(self, count: int, client: Channel) -> RingArray:
        return np.frombuffer(client.recv(count * self.ring.itemsize), self.ring.dtype)


class InsecureClient(ClientParty):
    """Party 1."""

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        for _ in range(count):
            material_id, bundle = secrets.token_bytes(16), Bundle(self.layout)
            peer.send(material_id)
            seed = fresh_seed()
            bundle.fill("seed", seed)
            _Walk(self.public, PartySeed(seed), bundle, peer).fill(self.reveal)
            peer.recv(len(ACK))
            self.store.put(material_id.hex(), bundle)


class _Walk(ClientWalk):
    def _weighted(self, node: Conv2d | Linear, x: RingArray) -> Value:
        self.server.send(wire(x))
        size = int(np.prod(node.shape)) * self.ring.itemsize
        return Computed(np.frombuffer(self.server.recv(size), self.ring.dtype).reshape(1, *node.shape))

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        mask = self.fresh(name, spec.count)
        material = {"share": active(x, positions), "mask": mask.reshape(-1)}
        self.bundle.keep(name, material, IDEAL.client_shapes(spec))
        return mask

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        mask = self.fresh(name, spec.count)
        self.server.send(wire(np.concatenate([x, mask])))
        return mask


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    return InsecureServer(artifact, *_arguments(options), reveal=options.reveal)


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    return InsecureClient(public, *_arguments(options), reveal=options.reveal)


def _arguments(options: RuntimeOptions) -> tuple[Any, ...]:
    return NAME, GATES, options.store_dir, options.client_id
