"""What is set up once serves the preparations of a session, up to so many pictures; after an error it serves none."""

from pathlib import Path
from typing import Any

import pytest
from changed_artifact import runnable
from oracle import assert_within_ulps
from parties import infer, make_parties, prepare
from random_networks import random_mixed_artifact
from trips import Chains

from pi_system.backends.two_party import offline, setup
from pi_system.backends.two_party.batches import cots
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.backends.two_party.offline import LinearPlans, linear_plan
from pi_system.cost.predict import Workload
from pi_system.errors import ChannelError
from pi_system.export.random import random_pictures
from pi_system.protocols.linear_he import linear_he_cost
from pi_system.protocols.ot.bytes import SETUP_BYTES, SETUP_ROUNDS, silent_bytes
from pi_system.secure.schedule import plan

BACKENDS = ["gmw", "gc", "table"]


def _measured(server: Any, client: Any, count: int) -> tuple[int, float]:
    """Bytes both ways and round trips of a preparation."""
    chains, ends = Chains(), dict[str, Any]()
    prepare(server, client, count, wrap=lambda role, end: ends.setdefault(role, chains(role, end)))
    return sum(end.counters.sent_bytes for end in ends.values()), chains["client"] / 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_later_preparations_of_a_session_cost_what_is_declared_without_the_setup(backend: str, tmp_path: Path) -> None:
    artifact = runnable(backend, random_mixed_artifact(7, blocks=2))
    schedule = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits")
    extended, declared = cots(schedule, TWO_PARTY_GATES[backend]), Workload(artifact, backend).offline
    server, client = make_parties(backend, artifact, tmp_path)
    first, first_trips = _measured(server, client, 1)
    later, later_trips = _measured(server, client, 2)
    assert (first, first_trips) == (declared.nbytes, declared.rounds)
    assert later_trips == first_trips - SETUP_ROUNDS / 2 + linear_he_cost(linear_plan(artifact)).rounds

    def silent(count: int) -> int:
        return sum(sum(silent_bytes(count * each)) for each in extended)

    once = linear_he_cost(linear_plan(artifact)).setup_bytes + 2 * SETUP_BYTES
    assert later == 2 * (first - once - silent(1)) + silent(3) - silent(1)
    pictures = random_pictures(artifact.public.graph.input.shape, 3, 7)
    assert_within_ulps(artifact, pictures, infer(server, client, pictures)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_prepared_together_share_ciphertexts_and_nothing_else(backend: str, tmp_path: Path) -> None:
    """21 of them: 16, 4 and 1. What is sent is what one picture takes, but for the ciphertexts and COTs left over."""
    artifact = runnable(backend, random_mixed_artifact(7, blocks=2))
    schedule = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits")
    extended = cots(schedule, TWO_PARTY_GATES[backend])
    groups = LinearPlans(artifact).groups(21)
    assert [group.pictures for group in groups] == [16, 4, 1]
    linear = [linear_he_cost(group) for group in groups]
    server, client = make_parties(backend, artifact, tmp_path)
    found, trips = _measured(server, client, 21)

    def silent(count: int) -> int:
        return sum(sum(silent_bytes(count * each)) for each in extended)

    one = Workload(artifact, backend).offline.nbytes - silent(1) - linear[2].up_bytes - linear[2].down_bytes
    once = linear[2].setup_bytes + 2 * SETUP_BYTES
    assert found == once + 21 * (one - once) + silent(21) + sum(cost.up_bytes + cost.down_bytes for cost in linear)
    # Two runs, 16 and 5 side by side; weighted layers are answered group by group.
    alone = Workload(artifact, backend).offline.rounds - SETUP_ROUNDS / 2
    assert trips == SETUP_ROUNDS / 2 + 2 * alone + linear[2].rounds
    together = Workload(artifact, backend).together(21)
    assert found < 21 * Workload(artifact, backend).offline.nbytes - together.saved_bytes
    kept = [path.stat().st_size for path in tmp_path.rglob("transformed-*/*.words")]
    assert together.lasting_bytes == sum(kept) > 0
    assert server.lasting_bytes(21) == 0
    file = next(tmp_path.rglob("transformed-*/*-16.words"))
    needed = file.stat().st_size
    file.unlink()
    assert (server.lasting_bytes(20), server.lasting_bytes(5)) == (needed, 0)
    pictures = random_pictures(artifact.public.graph.input.shape, 21, 7)
    assert_within_ulps(artifact, pictures, infer(server, client, pictures)[0])


@pytest.mark.parametrize("limit", ["_GROUP_BYTES", "_GROUP_WEIGHT_BYTES", "_GROUP_GAIN"])
def test_pictures_of_large_networks_are_prepared_one_by_one(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = random_mixed_artifact(7, blocks=2)
    assert [group.pictures for group in LinearPlans(artifact).groups(40)] == [16, 16, 4, 4]
    monkeypatch.setattr(offline, limit, 0)
    assert [group.pictures for group in LinearPlans(artifact).groups(5)] == [1] * 5
    assert LinearPlans(artifact).groups(0) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_sessions_share_no_setup(backend: str, tmp_path: Path) -> None:
    artifact = random_mixed_artifact(7, blocks=2)
    found = []
    for _ in range(2):
        server, client = make_parties(backend, artifact, tmp_path)
        prepare(server, client, 1)
        found.append((server._setup._made, client._setup._made))
    (ots, linear), (other_ots, other_linear) = found[0][1], found[1][1]
    assert (ots.sender.delta != other_ots.sender.delta).any()
    assert (linear._key._secret != other_linear._key._secret).any()
    assert (found[0][0][0].sender.delta != found[1][0][0].sender.delta).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_of_a_preparation_that_failed_is_used_again(backend: str, tmp_path: Path) -> None:
    server, client = make_parties(backend, random_mixed_artifact(7, blocks=2), tmp_path)
    prepare(server, client, 1)

    def broken(role: str, end: Any) -> Any:
        if role == "client":
            end.close()
        return end

    with pytest.raises(ChannelError):
        prepare(server, client, 1, wrap=broken)
    assert server._setup._made is None
    assert client._setup._made is None


def test_after_so_many_pictures_a_session_sets_up_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "SETUP_PICTURES", 3)
    server, client = make_parties("gmw", random_mixed_artifact(7, blocks=2), tmp_path)
    moved = [_measured(server, client, count)[0] // count for count in (1, 2, 1, 1)]
    assert moved[0] == moved[2] > max(moved[1], moved[3])
