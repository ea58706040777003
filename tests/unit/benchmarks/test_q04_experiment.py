"""The arrival-rate experiment with real processes, small, and the answers that follow from its samples."""

from pathlib import Path

import psutil
import pytest
from measuring.experiment import RateSearch, fleet, online_only, try_rate
from measuring.networks import cached_artifact
from measuring.sessions import Network
from q04_offline import answers

NETWORK = "resnet18:m=2,classes=10,size=8"
SEARCH = RateSearch(clients=1, pool=2, queue_limit=3, duration_s=1.0, factor=1.5, refine=1, limit=4, repeat=1, closed=3)


@pytest.mark.parametrize("backend", ["fss", "crypten"])
def test_requests_are_served_while_the_pool_is_filled(backend: str, tmp_path: Path) -> None:
    network = Network(cached_artifact(NETWORK, tmp_path / "cache"), 4, tmp_path / "run")
    with fleet(network, backend, SEARCH.clients) as running:
        online = online_only(running, SEARCH)
        calm = try_rate(running, SEARCH, 4.0, seed=2)
        flooded = try_rate(running, SEARCH, 300.0, seed=2)
    assert descendants_named(tmp_path) == []
    assert len(online["service_ms"]) == SEARCH.closed
    for sample in (calm, flooded):
        states = [request["state"] for request in sample["requests"]]
        assert len(states) == sample["served"] + sample["refused"] + sample["unfinished"]
        assert sample["queue_max"] <= SEARCH.queue_limit
        assert sample["max_abs_error"] < 0.5
    assert calm["served"] > 0
    assert flooded["refused"] > 0
    assert flooded["served"] <= len(flooded["offline_ms"]) + flooded["pool_at_start"]  # none was used twice
    found = {answer.name: answer for answer in answers([online, calm, flooded])}
    assert found[f"{backend}/sustainable_per_s"].value < 300.0
    assert f"{backend}/promised_per_s" in found


def descendants_named(folder: Path) -> list[int]:
    """Processes of this one that were started for ``folder``."""
    running = psutil.process_iter(["pid", "cmdline"])
    return [one.pid for one in running if str(folder) in " ".join(one.info["cmdline"] or [])]
