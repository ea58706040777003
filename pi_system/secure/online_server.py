"""The server's side of the online phase: linear layers on masked activations, gates with the client.

    client                                          server
    x - r_0                                   -->   D_0
                                                    per layer: y_0 = W * D + c_s + bias, no message
    per gate and exchange, chunk by chunk:    <->   see protocols/gate.py
    y_1 + y_0 = logits (scores, label)        <--   y_0

While the client works on a chunk the server computes the next: a layer's output channels are made as the gate
asks for them. Source: Delphi (Mishra et al., eprint 2020/050), with the gate exchanged for a pluggable one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pi_system.artifact.graph import Conv2d, Linear, Node
from pi_system.artifact.model import PublicArtifact
from pi_system.channel.base import Channel
from pi_system.channel.profile import LayerWatch, profiler_of
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec, ServerGate
from pi_system.protocols.truncation import TruncationSpec, truncate
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.secure.chunks import Feeder, chunks
from pi_system.secure.ring_layer import LazyLayer, RingLayer
from pi_system.secure.walk import Positions, SecureWalk, Share

__all__ = ["ServerMaterial", "ServerOnline"]


@dataclass(frozen=True, slots=True)
class ServerMaterial:
    """What the server's online walk needs of the offline phase, for a batch of N pictures.

    Attributes:
        offsets: c_s + bias of every weighted node, (N, *node.shape).
        truncations: offset and correction by step name, (N, n) each.
        differences: the client's re-masking differences by step name, (N, n).
        gates: makes picture ``i``'s gate: ``gates(i, name, spec)``; each is asked for once.
        batch: N.
    """

    offsets: Mapping[str, RingArray]
    truncations: Mapping[str, tuple[RingArray, RingArray]]
    differences: Mapping[str, RingArray]
    gates: Callable[[int, str, GateSpec], ServerGate]
    batch: int


class ServerOnline(SecureWalk):
    """One online run for a batch of pictures that share rounds."""

    party = 0

    def __init__(
        self,
        public: PublicArtifact,
        layers: Mapping[str, RingLayer],
        material: ServerMaterial,
        client: Channel,
    ):
        """``layers``: the fixed-point weights, packed once a model."""
        super().__init__(public.public.graph, public.public.ring, public.masks)
        self._layers, self._material, self._client = layers, material, client
        self._watch = profiler_of(client)

    def infer(self, reveal: Reveal) -> None:
        """Run the graph and send the client what reveals its result."""
        node, batch = self.graph.input, self._material.batch
        size = batch * int(np.prod(node.shape)) * self.ring.itemsize
        masked = np.frombuffer(self._client.recv(size), self.ring.dtype).reshape(batch, *node.shape)
        out = self.run(self.graph, Share(masked, True))
        logits = out.data if isinstance(out.data, np.ndarray) else out.data.full()
        if reveal != "logits":
            self._watch.enter(reveal)
        opened = self.reveal(logits.reshape(batch, -1), reveal)
        self._watch.enter("output")
        self._client.send(wire(self.ring.reduce(opened)))

    def _step(self, node: Node, operands: list[Share]) -> Share:
        self._watch.enter(node.name)
        out = super()._step(node, operands)
        if not self._watch.on or isinstance(out.data, np.ndarray):
            return out
        return Share(_WatchedLazy(out.data, node.name, self._watch), out.fresh)

    def _weighted(self, node: Conv2d | Linear, x: RingArray) -> LazyLayer:
        return self._layers[node.name].start(x, self._material.offsets[node.name])

    def _gate(self, name: str, spec: GateSpec, x: Any, positions: Positions) -> RingArray:
        gates = [self._material.gates(i, name, spec) for i in range(self._material.batch)]
        feeder = Feeder(x, positions, spec.count)
        for first, length in chunks(spec.count):
            for gate, row in zip(gates, feeder.upto(first, length), strict=True):
                gate.load(first, row)
                self._client.send(gate.send(0, first, length))
                gate.work(0, first, length)
        round_trips = gates[0].round_trips
        for exchange in range(round_trips):
            for first, length in chunks(spec.count):
                for gate in gates:
                    reply = self._client.recv(gate.reply_bytes(exchange, length))
                    gate.receive(exchange, first, length, reply)
                    if exchange + 1 < round_trips:
                        self._client.send(gate.send(exchange + 1, first, length))
                        gate.work(exchange + 1, first, length)
        return np.stack([gate.result() for gate in gates])

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        return truncate(spec, x, *self._material.truncations[name])

    def _remask(self, name: str, x: RingArray) -> RingArray:
        masked: RingArray = x + self._material.differences[name]
        return masked

    def _sum(self, a: Any, shift_a: int, b: Any, shift_b: int) -> Any:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return super()._sum(a, shift_a, b, shift_b)
        return _LazySum(a, shift_a, b, shift_b, self.ring)


class _LazySum:
    """The sum of two values of which at least one is still being computed."""

    def __init__(self, a: Any, shift_a: int, b: Any, shift_b: int, ring: Ring):
        self.shape: tuple[int, ...] = a.shape
        self._terms = ((a, ring.dtype.type(shift_a)), (b, ring.dtype.type(shift_b)))

    def channels(self, first: int, last: int) -> RingArray:
        """Channels [first, last) of the sum."""
        (left, left_shift), (right, right_shift) = self._terms
        total: RingArray = _part(left, first, last) << left_shift
        total += _part(right, first, last) << right_shift
        return total

    def full(self) -> RingArray:
        """The whole sum."""
        return self.channels(0, self.shape[1])


class _WatchedLazy:
    """A value still being computed, whose computing is booked to its own node, not to the gate that asks for it."""

    def __init__(self, value: Any, name: str, watch: LayerWatch):
        self.shape: tuple[int, ...] = value.shape
        self._value, self._name, self._watch = value, name, watch

    def channels(self, first: int, last: int) -> RingArray:
        """Channels [first, last) of the value."""
        before = self._watch.enter(self._name)
        part: RingArray = self._value.channels(first, last)
        self._watch.enter(before)
        return part

    def full(self) -> RingArray:
        """The whole value."""
        return self.channels(0, self.shape[1])


def _part(value: Any, first: int, last: int) -> RingArray:
    part: RingArray = value[:, first:last] if isinstance(value, np.ndarray) else value.channels(first, last)
    return part
