"""Which steps of a picture share their round trips offline, and that a cut changes nothing but their number."""

from pathlib import Path
from typing import Any

import pytest
from changed_artifact import runnable
from oracle import assert_within_ulps
from parties import infer, make_parties, prepare
from random_networks import random_small_artifact
from trips import Chains

from pi_system.artifact import load_public
from pi_system.backends.two_party import batches as batching
from pi_system.backends.two_party.batches import batches, declared, exchanges, side_by_side
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.cost.predict import Workload
from pi_system.export import QuantiseOptions
from pi_system.export.random import random_artifact, random_pictures
from pi_system.networks import artifact_folder
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import Ring
from pi_system.rpc.frames import QUEUE_BYTES
from pi_system.secure.schedule import Gate, Remask, Truncation, plan
from pi_system.train.networks import build_network
from pi_system.train.spec import NetworkSpec

MANY = random_small_artifact(2, options=QuantiseOptions(ring_bits=59, truncate_before_relu=True))
"""Gates, truncations and re-maskings."""


def _schedule(artifact: Any) -> Any:
    return plan(artifact.public.graph, artifact.public.ring, artifact.masks, "label")


def _exchanges(artifact: Any) -> Any:
    return [step for step in _schedule(artifact).steps if isinstance(step, Gate | Truncation | Remask)]


def _cut(artifact: Any, backend: str = "gmw") -> Any:
    return list(batches(_schedule(artifact), TWO_PARTY_GATES[backend], Ring(artifact.public.ring.ring_bits)))


def _kept(batch: Any, artifact: Any, backend: str = "gmw") -> Any:
    ring, gates = Ring(artifact.public.ring.ring_bits), TWO_PARTY_GATES[backend]
    return max(sum(nbytes for step in batch for _, nbytes in step.sections(role, gates, ring)) for role in (0, 1))


@pytest.mark.parametrize("room", [0, 5_000, 20_000, 1 << 40])
def test_every_step_is_in_one_batch_in_order_and_a_batch_keeps_what_is_allowed(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", room)
    found = _cut(MANY)
    steps = _exchanges(MANY)
    assert [step for batch in found for step in batch] == steps
    assert {type(step) for step in steps} == {Gate, Truncation, Remask}
    assert all(len(batch) == 1 or _kept(batch, MANY) <= room for batch in found)
    assert len(found) == {0: len(steps), 1 << 40: 1}.get(room, len(found))


def test_round_trips_do_not_grow_with_depth_and_memory_is_bounded_however_large_a_network_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the default bound: setup 1.5, weighted layers 1, gates 1, half a trip back at the end.

    With truncations gates take one more for every block of the widest carry.
    """
    for spec in ("resnet18:m=4", "resnet34:m=4"):
        shape = (3, 16, 16)
        network = build_network(NetworkSpec.parse(f"{spec},classes=10,size=16"), seed=0)
        artifact = random_artifact(network, shape, 1, spec)
        assert Workload(artifact, "gmw").offline.rounds == 3.5
        assert Workload(artifact, "gc").offline.rounds == 3.5
    assert Workload(load_public(artifact_folder("builtin:cifar10")), "gmw").offline.rounds == 2.5 + 1 + 5
    found = _cut(artifact)
    assert len(found) == 1
    monkeypatch.setattr(batching, "BATCH_BYTES", _kept(found[0], artifact) // 4)
    assert 4 <= len(_cut(artifact)) < 10
    assert Workload(artifact, "gmw").offline.rounds == 2.5 + len(_cut(artifact))


@pytest.mark.parametrize("backend", ["gmw", "gc", "table"])
def test_a_cut_changes_round_trips_and_nothing_else(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = runnable(backend, MANY)
    pictures = random_pictures(artifact.public.graph.input.shape, 1, 3)
    sent, trips = [], []
    whole = _kept(_schedule(artifact).steps, artifact, backend)
    for room in (whole, whole // 3, 0):
        monkeypatch.setattr(batching, "BATCH_BYTES", room)
        server, client = make_parties(backend, artifact, tmp_path / str(room))
        chains, ends = Chains(), dict[str, Any]()
        prepare(server, client, 1, wrap=lambda role, end: ends.setdefault(role, chains(role, end)))  # noqa: B023
        declared = Workload(artifact, backend).offline
        assert chains["client"] / 2 <= declared.rounds  # a gate may live on correlated OTs that others left
        assert chains["client"] / 2 == declared.rounds or room < whole
        sent.append([ends[role].counters.sent_bytes for role in ("server", "client")])
        trips.append(declared.rounds)
        assert_within_ulps(artifact, pictures, infer(server, client, pictures)[0])
    assert sent[0] == sent[1] == sent[2]
    assert trips[0] < trips[1] < trips[2]


def test_pictures_go_side_by_side_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, ring = _schedule(MANY), Ring(MANY.public.ring.ring_bits)
    one = sum(size for _, size in exchanges(schedule, TWO_PARTY_GATES["gmw"], ring))

    def runs(count: int) -> list[int]:
        return side_by_side(schedule, TWO_PARTY_GATES["gmw"], ring, count)

    assert runs(40) == [16, 16, 8]
    for room, wanted in ((5 * one, [5, 4]), (4 * one, [4, 4, 1]), (2 * one - 1, [1] * 9), (0, [1] * 9)):
        monkeypatch.setattr(batching, "BATCH_BYTES", room)
        assert runs(9) == wanted
        cut = list(batches(schedule, TWO_PARTY_GATES["gmw"], ring, wanted[0]))
        assert [step for batch in cut for step in batch] == wanted[0] * _exchanges(MANY)
        assert len(cut) == (1 if room else len(_exchanges(MANY)))


@pytest.mark.parametrize("backend", ["gmw", "gc", "table"])
def test_pictures_side_by_side_share_their_round_trips_and_nothing_else(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = runnable(backend, MANY)
    ring = Ring(artifact.public.ring.ring_bits)
    one = sum(size for _, size in exchanges(_schedule(artifact), TWO_PARTY_GATES[backend], ring))
    pictures = random_pictures(artifact.public.graph.input.shape, 3, 3)
    sent, trips = [], []
    for room in (3 * one, one):
        monkeypatch.setattr(batching, "BATCH_BYTES", room)
        server, client = make_parties(backend, artifact, tmp_path / str(room))
        chains, ends = Chains(), dict[str, Any]()
        prepare(server, client, 3, wrap=lambda role, end: ends.setdefault(role, chains(role, end)))  # noqa: B023
        sent.append([ends[role].counters.sent_bytes for role in ("server", "client")])
        trips.append(chains["client"] / 2)
        assert len(set(client.store.ids())) == 3
        assert_within_ulps(artifact, pictures, infer(server, client, pictures)[0])
    assert sent[0] == sent[1]
    gates = Workload(artifact, backend).offline.rounds - 2.5
    assert trips[1] - trips[0] == 2 * gates


@pytest.mark.parametrize("ring_bits", [24, 32, 59])
@pytest.mark.parametrize(("shift", "bits"), [(2, 12), (6, 17), (10, 24), (14, 24)])
def test_what_the_client_sends_for_a_batch_finds_room_while_the_server_does_not_read(
    ring_bits: int, shift: int, bits: int
) -> None:
    """On its way there are the client's queue and the server's; its correlated OTs take less than a byte each."""
    steps: list[tuple[str, Any]] = [
        ("gmw", Truncation("x", TruncationSpec(count=3200, ring_bits=ring_bits, shift=shift)))
    ]
    for backend in ("gmw", "gc", "table"):
        unseen = max(0, bits - shift - 10) if backend == "table" else 0
        spec = GateSpec(count=3200, ring_bits=ring_bits, comparison_bits=bits, shift=shift, unseen_bits=unseen)
        steps.append((backend, Gate("x", spec)))
    square = GateSpec(kind="square", count=3200, ring_bits=ring_bits, comparison_bits=12, shift=0)
    for backend, step in [*steps, ("gmw", Gate("x", square))]:
        gates = TWO_PARTY_GATES[backend]
        kept = max(sum(nbytes for _, nbytes in step.sections(role, gates, Ring(ring_bits))) for role in (0, 1))
        cost = declared(step, gates)
        assert cost.client_to_server_bytes + cost.client_cots / 8 <= 1.5 * kept
    assert 1.5 * batching.BATCH_BYTES <= 2 * QUEUE_BYTES
