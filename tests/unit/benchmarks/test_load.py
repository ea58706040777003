"""The load test: a few seconds of it against a real server, and what its numbers are."""

import json
from pathlib import Path
from typing import Any

import load
import pytest
from measuring.load import Load, summary
from measuring.networks import cached_artifact

LOAD = Load(backend="gmw", clients=2, rate_per_s=1.5, duration_s=3.0, counted=False, timeout_s=60.0)


def request(arrival_s: Any, end_s: Any, state: Any = "served", told_busy: Any = 0) -> Any:
    return {"arrival_s": arrival_s, "begin_s": arrival_s, "end_s": end_s, "state": state, "told_busy": told_busy}


def test_percentiles_are_of_what_was_served_from_its_arrival_on() -> None:
    requests = [request(float(i), float(i) + 0.1 * (i + 1)) for i in range(10)]
    found = summary([*requests, request(0.0, 60.0, "busy", 7), request(1.0, 2.0, "PeerTimeoutError", 1)], LOAD)
    assert found["states"] == {"served": 10, "busy": 1, "PeerTimeoutError": 1}
    assert found["latency_ms"]["p50"] == pytest.approx(500)
    assert found["latency_ms"]["p99"] == pytest.approx(1000)
    assert found["told_busy"] == 8
    assert found["served_per_s"] == pytest.approx(10 / 60)
    assert summary([], LOAD)["latency_ms"]["p95"] == 0


@pytest.mark.slow
def test_two_clients_for_some_seconds(tmp_path: Path) -> None:
    """With and without preparation: nothing is wrong, nothing fails, memory is followed, and it can be drawn."""
    path = cached_artifact("resnet18:m=1,size=8,classes=2", tmp_path / "cache")
    loads = [LOAD, Load(**{name: getattr(LOAD, name) for name in Load.__dataclass_fields__} | {"counted": True})]
    samples = load.measure(path, loads, max_sessions=1)
    for sample in samples:
        assert set(sample["states"]) == {"served"}
        assert len(sample["requests"]) == sample["states"]["served"] > 0
        assert all(nbytes > 2**20 and count >= 3 for _, nbytes, count in sample["memory"])
    text = json.loads(json.dumps(samples))
    (drawn,) = load.draw(text, tmp_path)
    assert drawn.read_text().count("prepared") >= 2
