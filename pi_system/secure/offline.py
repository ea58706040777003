"""The offline walks: the client's share of every value is known before there is a picture."""

from abc import ABC, abstractmethod

import numpy as np

from pi_system.artifact.model import PublicArtifact
from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.program.reveal import Reveal
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import RingArray, wire
from pi_system.secure.layout import BundleDraft
from pi_system.secure.schedule import Gate, Gates, Remask, Schedule, Truncation, Weighted
from pi_system.secure.seeds import PartySeed, party_seed
from pi_system.secure.values import Computed, Value
from pi_system.secure.walk import Positions, SecureWalk, Share, active


class MaskWalk(SecureWalk):
    """Follows the client's fresh masks, all from its seed; what is not fresh a subclass may leave unknown."""

    party = 1

    def __init__(self, public: PublicArtifact, seed: PartySeed):
        """``seed``: the client's, of one picture."""
        super().__init__(public.public.graph, public.public.ring, public.masks)
        self.seed = seed

    def walk(self) -> RingArray:
        """Run the graph once; the client's share of the logits, (1, classes)."""
        node = self.graph.input
        mask = self.fresh(node.name, int(np.prod(node.shape))).reshape(1, *node.shape)
        return np.ascontiguousarray(self.run(self.graph, Share(Computed(mask), True)).data.full()).reshape(1, -1)

    def fresh(self, name: str, count: int) -> RingArray:
        """The fresh mask of a value, (1, count)."""
        return self.seed.fresh_mask(name, count, self.ring.bits).reshape(1, -1)

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        return self.fresh(name, spec.count)

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        return self.fresh(name, spec.count)

    def _remask(self, name: str, x: RingArray) -> RingArray:
        return self.fresh(name, x.shape[1])


class ClientWalk(MaskWalk):
    """Follows the client's true shares, fills its bundle and tells the server what it needs.

    A subclass says how its correlations come: at a weighted layer, for a gate, for a truncation.
    """

    def __init__(self, public: PublicArtifact, gates: Gates, bundle: BundleDraft, server: Channel):
        """``bundle``: the client's, of one picture, with its seeds in it."""
        super().__init__(public, party_seed(bundle))
        self.gates, self.bundle, self.server = gates, bundle, server
        self._watch = profiler_of(server)

    @abstractmethod
    def _prepare(self, name: str, spec: GateSpec, share: RingArray, mask: RingArray) -> None:
        """Agree with the server on a gate whose input share is y_1 and output share r, (n,) each; ``_keep`` what it is.

        Now or before ``fill`` returns, as everything that the walk agrees on.
        """

    @abstractmethod
    def _pair(self, name: str, spec: TruncationSpec, share: RingArray, mask: RingArray) -> None:
        """Let the server have a truncation pair for y_1 and r, (n,) each."""

    def _replace(self, name: str, difference: RingArray) -> None:
        """Let the server have what replaces a share by a fresh mask, (1, n)."""
        self.server.send(wire(difference))

    def fill(self, reveal: Reveal) -> None:
        """Walk the graph, and what is made of its logits; keep the share of what is opened."""
        opened = self.reveal(self.walk(), reveal)
        self.bundle.fill("output", wire(self.ring.reduce(opened)))

    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        share, mask = self.ring.reduce(active(x, positions)), self.fresh(name, spec.count)
        self._prepare(name, spec, share, mask[0])
        return mask

    def _keep(self, name: str, spec: GateSpec, material: Material) -> None:
        self.bundle.keep(name, material, self.gates[spec.kind].client_shapes(spec))

    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        share, mask = self.ring.reduce(np.ascontiguousarray(x.reshape(-1))), self.fresh(name, spec.count)
        self._pair(name, spec, share, mask[0])
        return mask

    def _remask(self, name: str, x: RingArray) -> RingArray:
        mask = self.fresh(name, x.shape[1])
        self._replace(name, self.ring.reduce(x - mask))
        return mask


class ServerFill(ABC):
    """The server's side of such a walk: it fills its bundle in the schedule's order, which needs no shares."""

    def __init__(self, schedule: Schedule, gates: Gates, bundle: BundleDraft, client: Channel):
        """``bundle``: the server's, of one picture, with its seeds in it."""
        self._schedule, self.gates, self.bundle, self.client = schedule, gates, bundle, client

    @abstractmethod
    def _material(self, step: Gate) -> Material:
        """What is stored of a gate."""

    @abstractmethod
    def _pair(self, step: Truncation) -> tuple[RingArray, RingArray]:
        """Offset and correction, (n,) each; see protocols/truncation."""

    def _weighted(self, step: Weighted) -> None:  # noqa: B027
        """A weighted layer: nothing, where its share comes from a seed alone."""

    def fill(self) -> None:
        """All steps."""
        for step in self._schedule.steps:
            match step:
                case Weighted():
                    self._weighted(step)
                case Gate(name, spec):
                    self.bundle.keep(name, self._material(step), self.gates[spec.kind].server_shapes(spec))
                case Truncation(name):
                    offset, correction = self._pair(step)
                    self.bundle.fill(f"{name}/offset", wire(offset))
                    self.bundle.fill(f"{name}/correction", wire(correction))
                case Remask(name):
                    section = f"{name}/difference"
                    self.bundle.fill(section, self.client.recv(self.bundle.size(section)))
