"""Backends ``gmw``, ``gc``, ``table``: no third party, but homomorphic encryption and oblivious transfer."""

from collections.abc import Iterator
from contextlib import contextmanager

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.registry import check_runs
from pi_system.backends.two_party.batches import cots
from pi_system.backends.two_party.gates import TWO_PARTY_GATES, OtGates
from pi_system.backends.two_party.offline import EncryptedMasks, TwoPartyFill, TwoPartyWalk, linear_plan
from pi_system.backends.two_party.setup import SessionSetup
from pi_system.channel.base import Channel, DealerLink
from pi_system.channel.drive import drive
from pi_system.channel.profile import profiler_of
from pi_system.protocols.linear_he import LinearHeClient, LinearHeServer, LinearHeSession, linear_share
from pi_system.protocols.ot.party import OtParty, ot_setup
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.layout import Bundle
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.party import ClientParty, Fill, ServerParty
from pi_system.secure.ring_layer import available_threads
from pi_system.secure.seeds import party_seed
from pi_system.secure.weight_folder import WeightFolder


class TwoPartyServer(ServerParty):
    """Party 0 of a backend without a dealer; a ServerRuntime. One instance a session."""

    gates: OtGates

    def __init__(self, artifact: Artifact, options: RuntimeOptions):
        """See ServerParty. Raises ConfigError for a ring of more than 59 bits, and for too many compared bits."""
        check_runs(artifact.public, options.backend)
        super().__init__(artifact, TWO_PARTY_GATES[options.backend], options)
        self._plan = linear_plan(artifact)
        self._setup = SessionSetup(self._set_up)

    @contextmanager
    def filling(self, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        """See backends/two_party/offline.py for the messages."""
        with self._setup.taken(peer) as (ots, linear):
            watch = profiler_of(peer)
            watch.enter("linear")

            def fill(bundle: Bundle) -> None:
                self._setup.picture()
                bundle.fill("seed", fresh_seed())
                watch.enter("linear")
                drive(linear.run(_linear_prg(bundle)), peer)
                watch.enter("gates")
                TwoPartyFill(self.schedule, self.gates, self.ring, bundle, peer, ots).fill()

            yield fill

    def _set_up(self, peer: Channel) -> tuple[OtParty, LinearHeSession]:
        weights = {node.name: self.weights[f"{node.name}.weight"] for node in self.graph.weighted}
        kept = WeightFolder(self.model_folder / "transformed")
        transformed = LinearHeServer(self._plan, weights, kept=kept, threads=available_threads())
        sends, receives = map(bool, cots(self.schedule, self.gates))
        ots = drive(ot_setup(Prg(fresh_seed()), sends=sends, receives=receives), peer)
        return ots, drive(transformed.setup(), peer)

    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        """From the server's seed, as the encryption's answer had it."""
        return linear_share(self._plan, node.name, _linear_prg(bundle)).reshape(1, *node.shape)


class TwoPartyClient(ClientParty):
    """Party 1 of a backend without a dealer; a ClientRuntime. One instance a session."""

    gates: OtGates

    def __init__(self, public: PublicArtifact, options: RuntimeOptions):
        """See ClientParty. Raises ConfigError as TwoPartyServer."""
        check_runs(public.public, options.backend)
        super().__init__(public, TWO_PARTY_GATES[options.backend], options)
        self._plan = linear_plan(public)
        self._setup = SessionSetup(self._set_up)

    @contextmanager
    def filling(self, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        """See backends/two_party/offline.py for the messages."""
        with self._setup.taken(peer) as (ots, linear):
            watch = profiler_of(peer)

            def fill(bundle: Bundle) -> None:
                self._setup.picture()
                bundle.fill("seed", fresh_seed())
                watch.enter("linear")
                shares = drive(linear.run(EncryptedMasks(self.public, party_seed(bundle)).collect()), peer)
                watch.enter("gates")
                TwoPartyWalk(self.public, self.schedule, self.gates, shares, bundle, peer, ots).fill(self.reveal)

            yield fill

    def _set_up(self, peer: Channel) -> tuple[OtParty, LinearHeClient]:
        session = Prg(fresh_seed())
        linear = LinearHeClient(self._plan, session.child("linear"))
        receives, sends = map(bool, cots(self.schedule, self.gates))
        ots = drive(ot_setup(session, sends=sends, receives=receives), peer)
        drive(linear.setup(), peer)
        return ots, linear


def _linear_prg(bundle: Bundle) -> Prg:
    return Prg(party_seed(bundle).seed).child("linear")
