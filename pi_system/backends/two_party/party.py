"""Backends ``gmw``, ``gc``, ``table``: no third party, but homomorphic encryption and oblivious transfer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pi_system.artifact.graph import WeightedNode
from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.registry import check_runs
from pi_system.backends.two_party.batches import Batches, cots, side_by_side
from pi_system.backends.two_party.gates import TWO_PARTY_GATES, OtGates
from pi_system.backends.two_party.offline import EncryptedMasks, LinearPlans, TwoPartyFill, TwoPartyWalk
from pi_system.backends.two_party.setup import SessionSetup
from pi_system.channel.base import Channel, DealerLink
from pi_system.channel.drive import drive
from pi_system.channel.profile import profiler_of
from pi_system.protocols.linear_he import LinearHeClient, LinearHeServer, LinearHeSession, LinearPlan, linear_share
from pi_system.protocols.ot.party import OtParty, ot_setup
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.layout import Bundle, BundleDraft
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.party import ClientParty, Fill, ServerParty
from pi_system.secure.seeds import PartySeed, party_seed
from pi_system.secure.weight_folder import WeightFolder


class TwoPartyServer(ServerParty):
    """Party 0 of a backend without a dealer; a ServerRuntime. One instance a session."""

    gates: OtGates

    def __init__(self, artifact: Artifact, options: RuntimeOptions):
        """See ServerParty. Raises ConfigError for a ring of fewer than 16 bits, and for too many compared bits."""
        check_runs(artifact.public, options.backend)
        super().__init__(artifact, TWO_PARTY_GATES[options.backend], options)
        self._plans = LinearPlans(artifact)
        self._transformed: dict[int, LinearHeServer] = {}
        self._setup = SessionSetup[tuple[OtParty, LinearHeSession]]()

    def runs(self, count: int) -> list[int]:
        """See secure/party.py: gates of pictures share round trips, which memory bounds."""
        return side_by_side(self.schedule, self.gates, self.ring, count)

    @contextmanager
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        """See backends/two_party/offline.py for the messages."""
        groups = self._plans.groups(count)
        with self._setup.taken(lambda: self._set_up(groups, peer)) as (ots, linear):
            answered, watch = self._answer(groups, linear, peer), profiler_of(peer)

            def fill(bundles: Sequence[BundleDraft]) -> None:
                watch.enter("linear")
                for bundle in bundles:
                    self._setup.picture()
                    bundle.fill("seed", next(answered))
                watch.enter("gates")
                batches = Batches(self.schedule, self.gates, self.ring, peer, len(bundles))
                for bundle in bundles:
                    TwoPartyFill(self.schedule, self.gates, bundle, batches, ots).fill()

            yield fill

    def _answer(self, groups: list[LinearPlan], linear: LinearHeSession, peer: Channel) -> Iterator[bytes]:
        """The seeds of one picture after the other; a group's weighted layers are answered when its first is due."""
        for plan in groups:
            seeds = [fresh_seed() for _ in range(plan.pictures)]
            drive(linear.of(self._server_of(plan)).run([_linear_prg(PartySeed(seed)) for seed in seeds]), peer)
            yield from seeds

    def _set_up(self, groups: list[LinearPlan], peer: Channel) -> tuple[OtParty, LinearHeSession]:
        server = self._server_of(groups[0] if groups else self._plans.alone)
        sends, receives = map(bool, cots(self.schedule, self.gates))
        ots = drive(ot_setup(Prg(fresh_seed()), sends=sends, receives=receives), peer)
        return ots, drive(server.setup(), peer)

    def lasting_bytes(self, count: int) -> int:
        """Of transformed weights: for every number of pictures that is prepared together."""
        there = WeightFolder.of_model(self.model_folder).names()
        return sum(nbytes for name, nbytes in self._plans.kept_weights(count).items() if name not in there)

    def _server_of(self, plan: LinearPlan) -> LinearHeServer:
        if plan.pictures not in self._transformed:
            weights = {node.name: self.weights[f"{node.name}.weight"] for node in self.graph.weighted}
            kept = WeightFolder.of_model(self.model_folder)
            self._transformed[plan.pictures] = LinearHeServer(plan, weights, kept=kept)
        return self._transformed[plan.pictures]

    def linear_share(self, bundle: Bundle, node: WeightedNode) -> RingArray:
        """From the server's seed, as the encryption's answer had it."""
        prg = _linear_prg(party_seed(bundle))
        return linear_share(self._plans.alone, node.name, prg).reshape(1, *node.shape)


class TwoPartyClient(ClientParty):
    """Party 1 of a backend without a dealer; a ClientRuntime. One instance a session."""

    gates: OtGates

    def __init__(self, public: PublicArtifact, options: RuntimeOptions):
        """See ClientParty. Raises ConfigError as TwoPartyServer."""
        check_runs(public.public, options.backend)
        super().__init__(public, TWO_PARTY_GATES[options.backend], options)
        self._plans = LinearPlans(public)
        self._setup = SessionSetup[tuple[OtParty, LinearHeClient]]()

    def runs(self, count: int) -> list[int]:
        """See secure/party.py: gates of pictures share round trips, which memory bounds."""
        return side_by_side(self.schedule, self.gates, self.ring, count)

    @contextmanager
    def filling(self, count: int, peer: Channel, dealer: DealerLink) -> Iterator[Fill]:
        """See backends/two_party/offline.py for the messages."""
        groups = self._plans.groups(count)
        with self._setup.taken(lambda: self._set_up(peer)) as (ots, linear):
            asked, watch = self._ask(groups, linear, peer), profiler_of(peer)

            def fill(bundles: Sequence[BundleDraft]) -> None:
                watch.enter("linear")
                answered = [next(asked) for _ in bundles]
                watch.enter("gates")
                batches = Batches(self.schedule, self.gates, self.ring, peer, len(bundles))
                for bundle, (seed, shares) in zip(bundles, answered, strict=True):
                    self._setup.picture()
                    bundle.fill("seed", seed)
                    TwoPartyWalk(self.public, self.gates, shares, bundle, peer, batches, ots).fill(self.reveal)

            yield fill

    def _ask(
        self, groups: list[LinearPlan], linear: LinearHeClient, peer: Channel
    ) -> Iterator[tuple[bytes, dict[str, RingArray]]]:
        """Seeds and shares of one picture after the other; those of a group come when its first is due."""
        for plan in groups:
            seeds = [fresh_seed() for _ in range(plan.pictures)]
            run = linear.of(plan).run([EncryptedMasks(self.public, PartySeed(seed)).collect() for seed in seeds])
            yield from zip(seeds, drive(run, peer), strict=True)  # nobody holds the masks any longer

    def _set_up(self, peer: Channel) -> tuple[OtParty, LinearHeClient]:
        session = Prg(fresh_seed())
        linear = LinearHeClient(self._plans.alone, session.child("linear"))
        receives, sends = map(bool, cots(self.schedule, self.gates))
        ots = drive(ot_setup(session, sends=sends, receives=receives), peer)
        drive(linear.setup(), peer)
        return ots, linear


def _linear_prg(seed: PartySeed) -> Prg:
    return Prg(seed.seed).child("linear")
