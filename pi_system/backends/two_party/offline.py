"""The offline phase without a third party: masks under encryption for linear layers, oblivious transfer for ReLUs.

    server                                          client
    once a session: <-> base OTs, both directions, and what starts their extension
                    <-- encryption of zero (RLWE session)
    per picture:    <-- material id
                    at the first of a group of pictures (``LinearPlans``), for all of it:
                    <-- Enc(r) of every weighted layer
                        Enc(W * r - c_s) -->         c_c; c_s stays, from the server's seed
                    batch by batch (batches.py), all steps of a batch, also those of other pictures, side by side:
                    <-> the gate's own offline phase (protocols/relu_gmw, protocols/relu_gc, protocols/square);
                        of a gate with many rounds (protocols/relu_table) its OTs
                    <-> truncation pairs (protocols/truncation)
                    <-- re-masking differences
                    <-> the rounds of all gates that have many, side by side

The client's masks enter the encryption before any answer is back: fresh masks do not depend on answers, so the
weighted layers of a picture are one pipelined exchange (protocols/linear_he), and what follows for all gates is one
exchange, too. Security: semi-honest, one party corrupted; every step draws from a stream of its own and takes COTs of
its own, so it does not matter which of them go side by side, nor in which call of a session. Parameters:
docs/explanation/threat-model.md.
"""

import numpy as np

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.costs import GROUPS
from pi_system.backends.two_party.batches import Batches, Begun
from pi_system.backends.two_party.gates import OtGates
from pi_system.channel.base import Channel
from pi_system.errors import ConfigError
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import BARRIER, Half, Send, receive
from pi_system.protocols.linear_he import (
    LinearPlan,
    kept_weights,
    linear_he_cost,
    linear_shapes,
    plan_linear,
    plan_together,
)
from pi_system.protocols.material import Material
from pi_system.protocols.ot.gate import RoundsGate
from pi_system.protocols.ot.party import OtParty
from pi_system.protocols.truncation import TruncationSpec, pairs
from pi_system.ring.carrier import RingArray, wire
from pi_system.ring.prg import Prg
from pi_system.secure.kept import HEADER_BYTES
from pi_system.secure.layout import BundleDraft
from pi_system.secure.offline import ClientWalk, MaskWalk
from pi_system.secure.schedule import Gate, Remask, Schedule, Truncation
from pi_system.secure.seeds import party_seed
from pi_system.secure.values import Computed, Value

_GROUP_BYTES = 256 << 20  # in memory: masks and shares of a group, and the largest request as the server reads it
_GROUP_WEIGHT_BYTES = 1 << 30  # transformed weights that are kept more than once
_GROUP_GAIN = 0.9  # of the bytes of pictures one by one; what saves less is not worth waiting for


def linear_plan(public: PublicArtifact) -> LinearPlan:
    """The plan of all weighted layers, from public data. Raises ConfigError for rings that encryption cannot hold."""
    ring = public.public.ring
    return plan_linear(linear_shapes(public.public.graph), ring.ring_bits, ring.weight_norm_bits)


class LinearPlans:
    """The plans of one model by the number of pictures; both parties compute them alike, and one key serves all."""

    def __init__(self, public: PublicArtifact):
        """Raises ConfigError as ``linear_plan``."""
        self.alone = linear_plan(public)
        self._plans: dict[int, LinearPlan | None] = {1: self.alone}

    def groups(self, count: int) -> list[LinearPlan]:
        """The plans for ``count`` pictures, one after the other: the largest groups that there is room for first."""
        found: list[LinearPlan] = []
        for pictures in GROUPS:
            if count >= pictures and (plan := self._of(pictures)) is not None:
                found += [plan] * (count // pictures)
                count %= pictures
        return found

    def kept_weights(self, count: int) -> dict[str, int]:
        """Bytes of the files of transformed weights that ``count`` pictures take, by name; groups may share some."""
        plans = {plan.pictures: plan for plan in self.groups(count)}.values()
        return {name: nbytes + HEADER_BYTES for plan in plans for name, nbytes in kept_weights(plan).items()}

    def _of(self, pictures: int) -> LinearPlan | None:
        if pictures not in self._plans:
            self._plans[pictures] = self._worth_it(pictures)
        return self._plans[pictures]

    def _worth_it(self, pictures: int) -> LinearPlan | None:
        """The plan for so many, or None: too large, or hardly smaller than one by one."""
        one = linear_he_cost(self.alone)
        if one.weight_bytes > _GROUP_WEIGHT_BYTES:
            return None
        try:
            plan = plan_together(self.alone, pictures)
        except ConfigError:
            return None
        cost = linear_he_cost(plan)
        saves = cost.up_bytes + cost.down_bytes <= _GROUP_GAIN * pictures * (one.up_bytes + one.down_bytes)
        return plan if saves and plan.memory_bytes() <= _GROUP_BYTES else None


class TwoPartyFill:
    """The server's gates, truncations and re-maskings of one picture, after its weighted layers are answered."""

    def __init__(self, schedule: Schedule, gates: OtGates, bundle: BundleDraft, batches: Batches, ots: OtParty):
        """``batches``: of the pictures of its run; ``ots``: the server's ends."""
        self._schedule, self._gates, self._bundle, self._ots = schedule, gates, bundle, ots
        self._prg, self._batches = Prg(party_seed(bundle).seed), batches

    def fill(self) -> None:
        """All steps."""
        for step in self._schedule.steps:
            match step:
                case Gate():
                    self._batches.add(self._gate(step))
                case Truncation():
                    self._batches.add(self._truncation(step))
                case Remask(name):
                    self._batches.add(self._remask(name))

    def _gate(self, step: Gate) -> Begun:
        gate, prg = self._gates[step.spec.kind], self._prg.child("gate", step.name)
        if isinstance(gate, RoundsGate):
            return self._kept(step, (yield from gate.begin_server(step.spec, self._ots, prg)))
        yield from self._kept(step, gate.offline_server(step.spec, self._ots, prg))
        return None

    def _kept(self, step: Gate, half: Half[Material]) -> Half[None]:
        self._bundle.keep(step.name, (yield from half), self._gates[step.spec.kind].server_shapes(step.spec))

    def _truncation(self, step: Truncation) -> Begun:
        prg = self._prg.child("gate", step.name)
        offset, correction = yield from pairs.offline_server(step.spec, self._ots, prg)
        self._bundle.fill(f"{step.name}/offset", wire(offset))
        self._bundle.fill(f"{step.name}/correction", wire(correction))
        return None

    def _remask(self, name: str) -> Begun:
        yield BARRIER
        section = f"{name}/difference"
        self._bundle.fill(section, (yield from receive(self._bundle.size(section))))
        return None


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
    """The client's true shares, now that the answers are decrypted.

    ``shares``: c_c of every weighted node, each taken out when it is its turn.
    """

    gates: OtGates

    def __init__(
        self,
        public: PublicArtifact,
        gates: OtGates,
        shares: dict[str, RingArray],
        bundle: BundleDraft,
        server: Channel,
        batches: Batches,
        ots: OtParty,
    ):
        """``batches``: of the pictures of its run; ``ots``: the client's ends."""
        super().__init__(public, gates, bundle, server)
        self._ots, self._shares, self._prg, self._batches = ots, shares, Prg(self.seed.seed), batches

    def _weighted(self, node: WeightedNode, x: RingArray) -> Value:
        return Computed(self._shares.pop(node.name).reshape(1, *node.shape))

    def _prepare(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> None:
        self._batches.add(self._gate_half(name, spec, share, mask))

    def _gate_half(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> Begun:
        gate, prg = self.gates[spec.kind], self._prg.child("gate", name)
        if isinstance(gate, RoundsGate):
            return self._kept(name, spec, (yield from gate.begin_client(spec, share, mask, self._ots, prg)))
        yield from self._kept(name, spec, gate.offline_client(spec, share, mask, self._ots, prg))
        return None

    def _kept(self, name: str, spec: GateSpec, half: Half[Material]) -> Half[None]:
        self._keep(name, spec, (yield from half))

    def _pair(self, name: str, spec: TruncationSpec, share: RingArray, mask: RingArray) -> None:
        self._batches.add(self._pair_half(spec, share, mask))

    def _pair_half(self, spec: TruncationSpec, share: RingArray, mask: RingArray) -> Begun:
        yield from pairs.offline_client(spec, share, mask, self._ots)
        return None

    def _replace(self, name: str, difference: RingArray) -> None:
        self._batches.add(_sent(difference))


def _sent(values: RingArray) -> Begun:
    yield Send(wire(values))
    return None
