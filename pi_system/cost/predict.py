"""The cost of one inference of an exported network: exact bytes, rounds and storage, predicted milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Final, NamedTuple

from pi_system.artifact.graph import Input
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.costs import GROUPS, Lockstep, OfflineCost, Opening, Together, find_cost
from pi_system.backends.registry import BACKENDS
from pi_system.channel.link import Link, parse_link
from pi_system.cost.calibration import Calibration
from pi_system.cost.layers import NodeWork, node_works
from pi_system.cost.replay import Replay, transfer_ns
from pi_system.cost.rows import Counts, LayerCost, Rows, timed
from pi_system.cost.work import START, Moment, Prices, Work, delayed, later, work
from pi_system.errors import ConfigError
from pi_system.program.reveal import Reveal, check_reveal
from pi_system.protocols.gate import GateSpec
from pi_system.ring.carrier import Ring
from pi_system.secure.schedule import Gates, plan

TOGETHER: Final = max(GROUPS)
"""Inferences of one call, of which ``in_groups`` says what they save."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One inference, batch 1, material prepared; offline: one preparation of one inference.

    Attributes:
        backend: what runs.
        layers: see LayerCost.
        online_ms: at the client, from the first byte to what is revealed.
        online_rounds: times the client waits for an answer; of crypten half a round trip each.
        client_to_server_bytes: online payload.
        server_to_client_bytes: online payload.
        offline_ms: of one preparation.
        offline_rounds: its round trips one after the other.
        offline_bytes: payload on all connections.
        setup_bytes: payload once a model and client besides.
        stored_bytes_server: on disk.
        stored_bytes_client: on disk.
    """

    backend: str
    layers: tuple[LayerCost, ...]
    online_ms: float
    online_rounds: int
    client_to_server_bytes: int
    server_to_client_bytes: int
    offline_ms: float
    offline_rounds: float
    offline_bytes: int
    setup_bytes: int
    stored_bytes_server: int
    stored_bytes_client: int


class Workload:
    """What one network asks of one backend, found once and priced as often as wanted."""

    def __init__(self, public: PublicArtifact, backend: str, reveal: Reveal = "logits"):
        """Walk the graph for an inference that reveals that. Raises ConfigError for a backend that is none."""
        if backend not in BACKENDS:
            raise ConfigError(f"cost model: expected one of {', '.join(BACKENDS)}, found {backend[:40]}")
        self.public, self.backend, self.reveal = public, backend, reveal
        self._schedule = plan(public.public.graph, public.public.ring, public.masks, reveal)

    @cached_property
    def offline(self) -> OfflineCost:
        """Its offline phase. Raises ConfigError where the backend cannot run this network."""
        return find_cost(self.backend).offline(self.backend, self.public, self._schedule)

    def together(self, count: int) -> Together:
        """What ``count`` inferences prepared in one call save, and leave at the server. Raises ConfigError likewise."""
        found = getattr(find_cost(self.backend), "together", None)
        return found(self.public, count) if found else Together()

    @cached_property
    def _online(self) -> Gates | Lockstep:
        found = find_cost(self.backend)
        return found.gates(self.backend) or found.lockstep(self.backend, self.public)

    @cached_property
    def _nodes(self) -> list[NodeWork]:
        return node_works(self.public, self._schedule)

    def prepared(self, link: Link, prices: Prices) -> Moment:
        """The end of the offline phase: work and link side by side, then the slower file and what is waited for."""
        cost = self.offline
        sent = prices.after(START, work(transfer=transfer_ns(link, cost.busiest)))
        done = later(prices.after(START, work(**cost.units)), sent)
        return prices.after(done, work(stored_byte=max(cost.stored), round_trip=1e9 * cost.rounds * link.rtt_s))

    def online(self, link: Link, prices: Prices) -> tuple[Moment, list[LayerCost]]:
        """The end of the online phase and its rows. Raises ConfigError for what is not predicted."""
        if isinstance(self._online, Lockstep):
            if self.reveal != "logits":
                raise ConfigError(
                    f"cost model: of {self.backend} only an inference that reveals logits is predicted, "
                    f"found {self.reveal}"
                )
            return _in_lockstep(self._online, link, prices)
        return self._replayed(self._online, link, prices)

    def _replayed(self, gates: Gates, link: Link, prices: Prices) -> tuple[Moment, list[LayerCost]]:
        itemsize = Ring(self.public.public.ring.ring_bits).itemsize
        replay, rows = Replay(gates, link, prices), Rows(prices)
        before = START
        for node in self._nodes:
            if isinstance(node.node, Input):
                nbytes = prod(node.node.shape) * itemsize
                replay.begin(nbytes)
                counts = Counts(rounds=1, up_bytes=nbytes)
            else:
                replay.node(node)
                counts = _counts(gates, [spec for _, spec in node.gates])
            rows.add(node, replay.server.path - before.path, counts)
            before = replay.server
        revealing = [gate.spec for gate in self._schedule.reveal_gates]
        for spec in revealing:
            replay.gate(spec)
        opened_bytes = self._schedule.opened * itemsize
        end, counts = replay.end(opened_bytes), _counts(gates, revealing)
        opened = counts._replace(down_bytes=counts.down_bytes + opened_bytes)
        return end, rows.costs(self.reveal, end.path - before.path, opened)


def _counts(gates: Gates, specs: Sequence[GateSpec]) -> Counts:
    costs = [gates[spec.kind].cost(spec) for spec in specs]
    return Counts(
        relus=sum(spec.count for spec in specs),
        rounds=sum(cost.round_trips for cost in costs),
        up_bytes=sum(cost.client_to_server_bytes for cost in costs),
        down_bytes=sum(cost.server_to_client_bytes for cost in costs),
    )


def _in_lockstep(found: Lockstep, link: Link, prices: Prices) -> tuple[Moment, list[LayerCost]]:
    moment, rows = START, []
    for opening in found.openings:
        units = work(**opening.units) + _exchanges(opening, link)
        moment = prices.after(moment, units)
        row = LayerCost(
            name=opening.node.name,
            kind=opening.node.op,
            macs=opening.macs,
            relus=opening.relus,
            rounds=opening.rounds,
            up_bytes=opening.nbytes,
            down_bytes=opening.nbytes,
        )
        rows.append(timed(row, prices, units))
    last = work(transfer=transfer_ns(link, found.result_bytes)) + delayed(link, 1)
    rows.append(timed(LayerCost(name="logits", kind="reveal", down_bytes=found.result_bytes), prices, last))
    return prices.after(moment, last), rows


def _exchanges(opening: Opening, link: Link) -> Work:
    """The link's part: half a round trip a message."""
    if not opening.rounds:
        return work()
    transfer = opening.rounds * transfer_ns(link, opening.nbytes // opening.rounds)
    return work(transfer=transfer) + delayed(link, opening.rounds)


def predict(
    public: PublicArtifact, backend: str, link: str | Link, calibration: Calibration, reveal: Reveal = "logits"
) -> Prediction:
    """Predict one inference.

    Args:
        public: the network.
        backend: one of BACKENDS.
        link: a Link, its name, or RATE_MBIT,RTT_MS.
        calibration: prices of a machine.
        reveal: what the client learns.

    Raises:
        ConfigError: no such backend or link, the calibration does not have its prices, the network does not have what
            is revealed, or that is not predicted: label and scores of ``crypten``.
    """
    shaped = parse_link(link) if isinstance(link, str) else link
    calibration.check_has(backend)
    check_reveal(public.public.graph, reveal)
    workload, prices = _workload(public, backend, reveal), calibration.as_prices()
    end, layers = workload.online(shaped, prices)
    offline, prepared = workload.offline, workload.prepared(shaped, prices)
    calibration.check_priced(end.path + prepared.path)
    return Prediction(
        backend=backend,
        layers=tuple(layers),
        online_ms=end.ns / 1e6,
        online_rounds=sum(row.rounds for row in layers),
        client_to_server_bytes=sum(row.up_bytes for row in layers),
        server_to_client_bytes=sum(row.down_bytes for row in layers),
        offline_ms=prepared.ns / 1e6,
        offline_rounds=offline.rounds,
        offline_bytes=offline.nbytes,
        setup_bytes=offline.setup_bytes,
        stored_bytes_server=offline.stored[0],
        stored_bytes_client=offline.stored[1],
    )


class InGroups(NamedTuple):
    """What groups of pictures take.

    Attributes:
        together_bytes: of TOGETHER inferences prepared in one call, payload of one, at most.
        lasting_bytes: of the server's disk, once a model, when every size of a group has been prepared.
    """

    together_bytes: int
    lasting_bytes: int


def in_groups(public: PublicArtifact, backend: str, reveal: Reveal = "logits") -> InGroups:
    """Apart from ``predict``, since it plans every size of a group. Raises ConfigError as ``predict``."""
    workload = _workload(public, backend, reveal)
    saved = workload.together(TOGETHER).saved_bytes // TOGETHER
    return InGroups(workload.offline.nbytes - saved, workload.together(sum(GROUPS)).lasting_bytes)


def online_ms(public: PublicArtifact, backend: str, link: Link, calibration: Calibration) -> float:
    """The online time alone, without a look at the offline phase. Raises ConfigError."""
    calibration.check_has(backend)
    return _workload(public, backend).online(link, calibration.as_prices())[0].ns / 1e6


@lru_cache(maxsize=8)
def _workload(public: PublicArtifact, backend: str, reveal: Reveal = "logits") -> Workload:
    return Workload(public, backend, reveal)
