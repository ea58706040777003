"""Backends ``gmw`` and ``gc``: the fast runtime without a third party (homomorphic encryption, oblivious transfer)."""

import secrets
from pathlib import Path
from typing import Any

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import DealerLink
from pi_system.backends.two_party.gates import OtGates
from pi_system.backends.two_party.offline import linear_plan, prepare_client, prepare_server
from pi_system.channel.base import Channel
from pi_system.channel.drive import drive
from pi_system.channel.profile import profiler_of
from pi_system.protocols.linear_he import LinearHeClient, LinearHeServer, linear_share
from pi_system.protocols.ot.party import ot_setup
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.layout import Bundle
from pi_system.secure.party import ACK, ClientParty, ServerParty
from pi_system.secure.ring_layer import available_threads
from pi_system.secure.seeds import PartySeed
from pi_system.secure.weight_folder import WeightFolder


class TwoPartyServer(ServerParty):
    """Party 0 of a backend without a dealer; a ServerRuntime. One instance a session."""

    gates: OtGates

    def __init__(self, artifact: Artifact, backend: str, gates: OtGates, store: Path, pairing_id: str, **options: Any):
        """See ServerParty. Raises ConfigError for a ring of more than 59 bits."""
        super().__init__(artifact, backend, gates, store, pairing_id, **options)
        self._plan = linear_plan(artifact)

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures; see backends/two_party/offline.py for the messages."""
        self.store.check_room(count * self.layout.nbytes)
        weights = {node.name: self.weights[f"{node.name}.weight"] for node in self.weighted}
        kept = WeightFolder(self.model_folder / "transformed")
        linear = drive(LinearHeServer(self._plan, weights, kept=kept, threads=available_threads()).setup(), peer)
        ots, watch = drive(ot_setup(Prg(fresh_seed())), peer), profiler_of(peer)
        for _ in range(count):
            watch.enter("linear")
            material_id = bytes(peer.recv(16)).hex()
            bundle, seed = Bundle(self.layout), PartySeed(fresh_seed())
            bundle.fill("seed", seed.seed)
            drive(linear.run(_linear_prg(seed)), peer)
            watch.enter("gates")
            prepare_server(self.schedule, self.gates, bundle, peer, ots, seed)
            watch.enter("store")
            self.store.put(material_id, bundle)
            peer.send(ACK)

    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        """From the server's seed, as the encryption's answer had it."""
        prg = _linear_prg(PartySeed(bundle.section("seed").tobytes()))
        return linear_share(self._plan, node.name, prg).reshape(1, *node.shape)


class TwoPartyClient(ClientParty):
    """Party 1 of a backend without a dealer; a ClientRuntime. One instance a session."""

    gates: OtGates

    def __init__(
        self, public: PublicArtifact, backend: str, gates: OtGates, store: Path, pairing_id: str, **options: Any
    ):
        """See ClientParty. Raises ConfigError for a ring of more than 59 bits."""
        super().__init__(public, backend, gates, store, pairing_id, **options)
        self._plan = linear_plan(public)

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase for ``count`` pictures; see backends/two_party/offline.py for the messages."""
        self.store.check_room(count * self.layout.nbytes)
        call = Prg(fresh_seed())
        linear = LinearHeClient(self._plan, call.child("linear"))
        drive(linear.setup(), peer)
        ots, watch = drive(ot_setup(call), peer), profiler_of(peer)
        for _ in range(count):
            watch.enter("linear")
            material_id = secrets.token_bytes(16)
            peer.send(material_id)
            bundle, seed = Bundle(self.layout), PartySeed(fresh_seed())
            bundle.fill("seed", seed.seed)
            prepare_client(self.public, self.gates, bundle, peer, linear, ots, seed, self.reveal)
            watch.enter("store")
            peer.recv(len(ACK))
            self.store.put(material_id.hex(), bundle)


def _linear_prg(seed: PartySeed) -> Prg:
    return Prg(seed.seed).child("linear")
