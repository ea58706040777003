"""The online phase of both parties: linear layers on masked activations at the server, gates with the client.

    client                                          server
    x - r_0                                   -->   D_0
                                                    per layer: y_0 = W * D + c_s + bias, no message
    per gate:                                 <->   see turns.py for the order, protocols/ for the messages
    y_1 + y_0 = logits (scores, label)        <--   y_0

The server walks the graph; a layer's output channels are made as the gate asks for them. The client walks nothing: its
share of every value is known since the offline phase, so only the gates are left, in the schedule's order. Source:
Delphi (Mishra et al., eprint 2020/050), with the gate exchanged for a pluggable one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Affine, Node, Relu, Square, WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.protocols.truncation import TruncationSpec, truncate
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import Gate
from pi_system.secure.turns import answer, serve
from pi_system.secure.values import Computed, GateInput, Value, Watched
from pi_system.secure.walk import Positions, SecureWalk, Share


class ServerOnline(SecureWalk):
    """One online run for a batch of pictures that share rounds, with what it needs of the offline phase."""

    party = 0

    def __init__(
        self,
        public: PublicArtifact,
        layers: Mapping[str, RingLayer],
        offsets: Mapping[str, RingArray],
        elements: Callable[[str], RingArray],
        gates: Iterator[list[ServerGate]],
        batch: int,
    ):
        """Made before the run may start.

        Args:
            public: the model.
            layers: the fixed-point weights, packed once a model.
            offsets: c_s + bias of every weighted node, (N, *node.shape); of ``Graph.biased`` the bias, (1, C, ...).
            elements: what truncations and re-maskings take (Step.server_elements), by section, (N, n) each.
            gates: in the schedule's order, of every picture, with their material inside; each for one use. The next
                are asked for while the client answers those before.
            batch: N.
        """
        super().__init__(public.public.graph, public.public.ring, public.masks)
        self._layers, self._offsets, self._elements, self._gates = layers, offsets, elements, gates
        self._batch, self._ready = batch, list[ServerGate]()
        self._client: Channel

    def infer(self, reveal: Reveal, client: Channel) -> None:
        """Run the graph and send the client what reveals its result."""
        self._client, self._watch = client, profiler_of(client)
        node, batch = self.graph.input, self._batch
        size = batch * prod(node.shape) * self.ring.itemsize
        masked = np.frombuffer(client.recv(size), self.ring.dtype).reshape(batch, *node.shape)
        logits = self.run(self.graph, Share(Computed(masked), True)).data.full()
        if reveal != "logits":
            self._watch.enter(reveal)
        opened = self.reveal(logits.reshape(batch, -1), reveal)
        self._watch.enter("output")
        client.send(wire(self.ring.reduce(opened)))

    def _step(self, node: Node, operands: list[Share]) -> Share:
        self._watch.enter(node.name)
        out = super()._step(node, operands)
        if not self._watch.on or out.data.ready:
            return out
        return Share(Watched(out.data, node.name, self._watch), out.fresh)

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        return self._layers[node.name].start(x, self._offsets[node.name])

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        gates, self._ready = self._ready or next(self._gates), []
        return serve(gates, spec.count, GateInput(x, positions, spec.count).upto, self._client, self._make_ready)

    def _make_ready(self) -> None:
        self._ready = next(self._gates, [])

    def _biased(self, node: Relu | Square | Affine, out: RingArray, positions: Positions) -> RingArray:
        bias = self._offsets.get(node.name)
        if bias is None:
            return out
        flat = np.broadcast_to(bias, (1, *node.shape)).reshape(1, -1)
        biased: RingArray = out + (flat if positions is None else flat[:, positions])
        return biased

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        return truncate(spec, x, self._elements(f"{name}/offset"), self._elements(f"{name}/correction"))

    def _remask(self, name: str, x: RingArray) -> RingArray:
        masked: RingArray = x + self._elements(f"{name}/difference")
        return masked


@dataclass(frozen=True, slots=True)
class ClientOnline:
    """What the client needs of the offline phase, for a batch of N pictures.

    Attributes:
        ring: of the shares.
        input_mask: r_0, (N, C * H * W).
        output_share: the client's share of what is opened, (N, classes), of a label (N, 1).
        gates: in the schedule's order, of every picture, with their material inside, each for one use; asked for when
            the message before has left, so that they are made while the server works.
    """

    ring: Ring
    input_mask: RingArray
    output_share: RingArray
    gates: Iterator[list[ClientGate]]

    def infer(self, pictures: NDArray[np.int64], gates: Sequence[Gate], server: Channel) -> NDArray[np.int64]:
        """Mask fixed-point pictures (N, C, H, W), answer the schedule's ``gates``, add up what is opened, signed."""
        ring, watch = self.ring, profiler_of(server)
        masked = ring.from_signed(pictures.reshape(len(pictures), -1)) - self.input_mask
        server.send(wire(ring.reduce(masked)))
        for gate in gates:
            watch.enter(gate.name)
            answer(next(self.gates), gate.spec.count, server)
        watch.enter("output")
        share = self.output_share
        theirs = np.frombuffer(server.recv(share.nbytes), ring.dtype).reshape(share.shape)
        return ring.to_signed(share + theirs)
