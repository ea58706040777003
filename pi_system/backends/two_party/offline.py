"""The offline phase without a third party: masks under encryption for linear layers, oblivious transfer for ReLUs.

    server                                          client
    once a call:   <-- encryption of zero (RLWE session)
                   <-> base OTs, both directions
    per picture:   <-- material id
                   <-- Enc(r) of every weighted layer
                       Enc(W * r - c_s) -->         c_c; c_s stays, from the server's seed
                   in the schedule's order:
                   <-> the gate's own offline phase (protocols/relu_gmw, protocols/relu_gc, protocols/square);
                       of a gate with many rounds (protocols/relu_table) its OTs
                   <-> truncation pairs (protocols/truncation)
                   <-- re-masking differences
                   <-> the rounds of all gates that have many, side by side

The client's masks enter the encryption before any answer is back: fresh masks do not depend on answers, so the
weighted layers of a picture are one pipelined exchange (protocols/linear_he). Security: semi-honest, one party
corrupted; see docs/explanation/threat-model.md for the parameters.
"""

import numpy as np

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.two_party.gates import OtGates
from pi_system.channel.base import Channel
from pi_system.channel.drive import drive
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half, together
from pi_system.protocols.linear_he import LinearPlan, linear_shapes, plan_linear
from pi_system.protocols.material import Material
from pi_system.protocols.ot.gate import RoundsGate
from pi_system.protocols.ot.party import OtParty
from pi_system.protocols.truncation import TruncationSpec, pairs
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg
from pi_system.secure.layout import Bundle
from pi_system.secure.offline import ClientWalk, MaskWalk, ServerFill
from pi_system.secure.schedule import Gate, Schedule, Truncation
from pi_system.secure.seeds import party_seed
from pi_system.secure.values import Computed, Value


def linear_plan(public: PublicArtifact) -> LinearPlan:
    """The plan of all weighted layers, from public data. Raises ConfigError for rings that encryption cannot hold."""
    ring = public.public.ring
    return plan_linear(linear_shapes(public.public.graph), ring.ring_bits, ring.weight_norm_bits)


class TwoPartyFill(ServerFill):
    """The server's gates, truncations and re-maskings of one picture, after its weighted layers are answered."""

    gates: OtGates

    def __init__(self, schedule: Schedule, gates: OtGates, bundle: Bundle, client: Channel, ots: OtParty):
        """``ots``: the server's ends."""
        super().__init__(schedule, gates, bundle, client)
        self._ots, self._prg = ots, Prg(party_seed(bundle).seed)
        self._begun: list[tuple[Gate, Half[Material]]] = []

    def fill(self) -> None:
        """All steps; then the rounds of all gates that have many."""
        super().fill()
        materials = drive(together([rounds for _, rounds in self._begun]), self.client)
        for (step, _), material in zip(self._begun, materials, strict=True):
            self._keep(step, material)

    def _prepare(self, step: Gate) -> None:
        gate = self.gates[step.spec.kind]
        if not isinstance(gate, RoundsGate):
            return super()._prepare(step)
        prg = self._prg.child("gate", step.name)
        self._begun.append((step, drive(gate.begin_server(step.spec, self._ots, prg), self.client)))
        return None

    def _material(self, step: Gate) -> Material:
        gate = self.gates[step.spec.kind]
        return drive(gate.offline_server(step.spec, self._ots, self._prg.child("gate", step.name)), self.client)

    def _pair(self, step: Truncation) -> tuple[RingArray, RingArray]:
        return drive(pairs.offline_server(step.spec, self._ots, self._prg.child("gate", step.name)), self.client)


class EncryptedMasks(MaskWalk):
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


class TwoPartyWalk(ClientWalk):
    """The client's true shares, now that the answers are decrypted: ``shares``, c_c of every weighted node."""

    gates: OtGates

    def __init__(
        self,
        public: PublicArtifact,
        gates: OtGates,
        shares: dict[str, RingArray],
        bundle: Bundle,
        server: Channel,
        ots: OtParty,
    ):
        """``ots``: the client's ends."""
        super().__init__(public, gates, bundle, server)
        self._ots, self._shares, self._prg = ots, shares, Prg(self.seed.seed)
        self._begun: list[tuple[str, GateSpec, Half[Material]]] = []

    def fill(self, reveal: Reveal) -> None:
        """Walk the graph, then the rounds of all gates that have many."""
        super().fill(reveal)
        materials = drive(together([rounds for *_, rounds in self._begun]), self.server)
        for (name, spec, _), material in zip(self._begun, materials, strict=True):
            self._keep(name, spec, material)

    def _prepare(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> None:
        gate = self.gates[spec.kind]
        if not isinstance(gate, RoundsGate):
            return super()._prepare(name, spec, share, mask)
        begun = gate.begin_client(spec, share, mask, self._ots, self._prg.child("gate", name))
        self._begun.append((name, spec, drive(begun, self.server)))
        return None

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        return Computed(self._shares[node.name].reshape(1, *node.shape))

    def _material(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> Material:
        gate, prg = self.gates[spec.kind], self._prg.child("gate", name)
        return drive(gate.offline_client(spec, share, mask, self._ots, prg), self.server)

    def _pair(self, name: str, spec: TruncationSpec, share: RingArray, mask: RingArray) -> None:
        drive(pairs.offline_client(spec, share, mask, self._ots, self._prg.child("gate", name)), self.server)
