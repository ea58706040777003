"""The offline phase without a third party: masks under encryption for linear layers, oblivious transfer for ReLUs.

    server                                          client
    once a call:   <-- encryption of zero (RLWE session)
                   <-> base OTs, both directions
    per picture:   <-- material id
                   <-- Enc(r) of every weighted layer
                       Enc(W * r - c_s) -->         c_c; c_s stays, from the server's seed
                   in the schedule's order:
                   <-> the gate's own offline phase (protocols/relu_gmw, protocols/relu_gc, protocols/square)
                   <-> truncation pairs (protocols/truncation)
                   <-- re-masking differences

The client's masks enter the encryption before any answer is back: fresh masks do not depend on answers, so the
weighted layers of a picture are one pipelined exchange (protocols/linear_he). Security: semi-honest, one party
corrupted; see docs/threat-model.md for the parameters.
"""

import numpy as np

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.two_party.gates import OtGates
from pi_system.channel.base import Channel
from pi_system.channel.drive import drive
from pi_system.channel.profile import profiler_of
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.linear_he import LinearHeClient, LinearPlan, linear_shapes, plan_linear
from pi_system.protocols.ot.party import OtParty
from pi_system.protocols.truncation import TruncationSpec, pairs
from pi_system.ring.carrier import RingArray, wire
from pi_system.ring.prg import Prg
from pi_system.secure.client_walk import ClientWalk, MaskWalk
from pi_system.secure.layout import Bundle
from pi_system.secure.schedule import Gate, Remask, Schedule, Truncation
from pi_system.secure.seeds import PartySeed
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, active


def linear_plan(public: PublicArtifact) -> LinearPlan:
    """The plan of all weighted layers, from public data. Raises ConfigError for rings that encryption cannot hold."""
    ring = public.public.ring
    return plan_linear(linear_shapes(public.public.graph), ring.ring_bits, ring.weight_norm_bits)


def prepare_server(
    schedule: Schedule, gates: OtGates, bundle: Bundle, client: Channel, ots: OtParty, seed: PartySeed
) -> None:
    """The server's gates, truncations and re-maskings of one picture, after its weighted layers are answered."""
    prg = Prg(seed.seed)
    for step in schedule.steps:
        if isinstance(step, Gate):
            gate = gates[step.spec.kind]
            material = drive(gate.offline_server(step.spec, ots, prg.child("gate", step.name)), client)
            bundle.keep(step.name, material, gate.server_shapes(step.spec))
        elif isinstance(step, Truncation):
            half = pairs.offline_server(step.spec, ots, prg.child("gate", step.name))
            offset, correction = drive(half, client)
            bundle.fill(f"{step.name}/offset", wire(offset))
            bundle.fill(f"{step.name}/correction", wire(correction))
        elif isinstance(step, Remask):
            section = bundle.section(f"{step.name}/difference")
            bundle.fill(f"{step.name}/difference", client.recv(section.nbytes))


def prepare_client(
    public: PublicArtifact,
    gates: OtGates,
    bundle: Bundle,
    server: Channel,
    linear: LinearHeClient,
    ots: OtParty,
    seed: PartySeed,
    reveal: Reveal,
) -> None:
    """The client's side of one picture of which ``reveal`` is opened."""
    masks = _MaskWalk(public, seed).collect()
    shares = drive(linear.run(masks), server)
    profiler_of(server).enter("gates")
    _ClientWalk(public, seed, bundle, server, gates, ots, shares).fill(reveal)


class _MaskWalk(MaskWalk):
    """Which mask enters each weighted layer; what the layers put out is not known yet and not needed."""

    def collect(self) -> dict[str, RingArray]:
        """The mask of every value that a weighted layer reads, by the value's name: (C, H, W)."""
        self._masks: dict[str, RingArray] = {}
        self.walk()
        return self._masks

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        mask = self.ring.reduce(x[0])
        self._masks[node.inputs[0]] = mask if mask.ndim == 3 else mask.reshape(-1, 1, 1)
        return Computed(np.zeros((1, *node.shape), self.ring.dtype))


class _ClientWalk(ClientWalk):
    """The client's true shares, now that the answers are decrypted."""

    def __init__(
        self,
        public: PublicArtifact,
        seed: PartySeed,
        bundle: Bundle,
        server: Channel,
        gates: OtGates,
        ots: OtParty,
        shares: dict[str, RingArray],
    ):
        super().__init__(public, seed, bundle, server)
        self._gates, self._ots, self._shares = gates, ots, shares
        self._prg = Prg(seed.seed)

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        return Computed(self._shares[node.name].reshape(1, *node.shape))

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        share, mask = self.ring.reduce(active(x, positions)), self.fresh(name, spec.count)
        prg, gate = self._prg.child("gate", name), self._gates[spec.kind]
        material = drive(gate.offline_client(spec, share, mask[0], self._ots, prg), self.server)
        self.bundle.keep(name, material, gate.client_shapes(spec))
        return mask

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        share, mask = self.ring.reduce(np.ascontiguousarray(x.reshape(-1))), self.fresh(name, spec.count)
        drive(pairs.offline_client(spec, share, mask[0], self._ots, self._prg.child("gate", name)), self.server)
        return mask
