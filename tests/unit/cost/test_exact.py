"""Bytes, rounds and storage that the cost model predicts are those a real run counts."""

from math import prod
from pathlib import Path
from typing import Any

import pytest
from changed_artifact import runnable
from parties import BACKENDS, PAIRING, infer, make_parties, prepare
from random_networks import random_mixed_artifact, random_small_artifact, random_square_artifact
from trips import Chains

from pi_system.backends.crypten.cost import lockstep
from pi_system.backends.crypten.party import correlation_plan
from pi_system.cost import default_calibration, predict
from pi_system.cost.predict import TOGETHER, Workload, in_groups
from pi_system.errors import ConfigError
from pi_system.export.random import random_pictures

ARTIFACTS = {
    "masks": lambda: random_small_artifact(3),
    "maxpool": lambda: random_small_artifact(8),
    "squares": lambda: random_square_artifact(1),
    "mixed": lambda: random_mixed_artifact(7, blocks=2),
}


@pytest.mark.parametrize("network", list(ARTIFACTS))
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_counts_what_was_predicted(backend: str, network: str, tmp_path: Path) -> None:
    artifact = runnable(backend, ARTIFACTS[network]())
    found = predict(artifact, backend, "lan", default_calibration())
    server, client = make_parties(backend, artifact, tmp_path)
    channels: dict[str, Any] = {}
    chains = Chains()
    prepare(server, client, 1, wrap=lambda role, channel: channels.setdefault(role, chains(role, channel)))
    counters = [channel.counters for role, channel in channels.items() if role != "server"]  # the client counts theirs
    offline = sum(each.sent_bytes + each.received_bytes for each in counters)
    assert offline == found.offline_bytes + found.setup_bytes
    assert backend == "fss" or chains["client"] / 2 == found.offline_rounds
    stored = {path.parts[-5]: path.stat().st_size for path in tmp_path.glob(f"*/*/*/{PAIRING}/*.ready")}
    assert stored == {"server": found.stored_bytes_server, "client": found.stored_bytes_client}

    _, _, mine = infer(server, client, random_pictures(artifact.public.graph.input.shape, 1, 7))
    assert mine.counters.rounds == found.online_rounds
    assert mine.counters.sent_bytes == found.client_to_server_bytes
    assert mine.counters.received_bytes == found.server_to_client_bytes


@pytest.mark.parametrize("reveal", ["label", "scores"])
@pytest.mark.parametrize("backend", ["fss", "gmw", "gc", "table"])
def test_what_is_revealed_is_part_of_both_phases(backend: str, reveal: Any, tmp_path: Path) -> None:
    artifact = runnable(backend, ARTIFACTS["mixed"]())
    online, logits = (predict(artifact, backend, "lan", default_calibration(), what) for what in (reveal, "logits"))
    found = Workload(artifact, backend, reveal).offline
    server, client = make_parties(backend, artifact, tmp_path, reveal=reveal)
    ends: dict[str, Any] = {}
    prepare(server, client, 1, wrap=lambda role, channel: ends.setdefault(role, channel))
    mine = [ends[role].counters for role in ends if role.startswith("client")]
    assert (
        sum(each.sent_bytes + each.received_bytes for each in mine) == found.nbytes - found.unseen + found.setup_bytes
    )
    stored = {path.parts[-5]: path.stat().st_size for path in tmp_path.glob(f"*/*/*/{PAIRING}/*.ready")}
    assert (stored["server"], stored["client"]) == found.stored

    _, _, inferred = infer(server, client, random_pictures(artifact.public.graph.input.shape, 1, 7))
    counted = inferred.counters
    assert (counted.rounds, counted.sent_bytes, counted.received_bytes) == (
        online.online_rounds,
        online.client_to_server_bytes,
        online.server_to_client_bytes,
    )
    assert online.layers[:-1] == logits.layers[:-1]
    assert online.layers[-1].name == reveal
    assert online.online_ms > logits.online_ms


def test_only_logits_of_crypten_are_predicted() -> None:
    with pytest.raises(ConfigError, match="of crypten only an inference that reveals logits is predicted, found label"):
        predict(ARTIFACTS["masks"](), "crypten", "lan", default_calibration(), "label")


@pytest.mark.parametrize("backend", ["fss", "gmw"])
def test_of_many_in_one_call_each_takes_at_most_what_was_predicted(backend: str, tmp_path: Path) -> None:
    artifact = ARTIFACTS["masks"]()
    found = predict(artifact, backend, "lan", default_calibration())
    server, client = make_parties(backend, artifact, tmp_path)
    channels: dict[str, Any] = {}
    prepare(server, client, TOGETHER, wrap=lambda role, channel: channels.setdefault(role, channel))
    mine = [channel.counters for role, channel in channels.items() if role != "server"]
    moved = sum(each.sent_bytes + each.received_bytes for each in mine)
    groups = in_groups(artifact, backend)
    assert moved <= TOGETHER * groups.together_bytes + found.setup_bytes
    assert (groups.together_bytes < found.offline_bytes) == (groups.lasting_bytes > 0) == (backend == "gmw")
    for count in (4, 1):
        prepare(server, client, count)
    weights = sum(path.stat().st_size for path in server.model_folder.glob("transformed-*/*"))
    assert weights == groups.lasting_bytes


def _opened(item: Any) -> Any:
    sizes = {"additive": lambda: prod(item.left) + prod(item.right), "binary": lambda: 2 * prod(item.shape)}
    return sizes.get(item.kind, lambda: prod(item.shape))()


@pytest.mark.parametrize("network", list(ARTIFACTS))
def test_crypten_opens_and_is_dealt_what_its_plan_says(network: str) -> None:
    artifact = ARTIFACTS[network]()
    graph = artifact.public.graph
    plan, found = correlation_plan(graph, artifact.masks), lockstep("crypten", artifact).openings
    assert sum(opening.dealt_bytes for opening in found) == plan.correction_bytes()
    assert sum(opening.nbytes for opening in found) == 8 * sum(_opened(item) for item in plan.items)
    assert sum(opening.rounds for opening in found) == len(plan.items)
