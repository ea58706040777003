"""together.py: a picture's share of what pictures together take."""

from types import SimpleNamespace
from typing import Any

import pytest
from measuring.processes import Site
from together import COUNTS, rows


def _session(count: int, calls_ms: list[float], nbytes: int) -> Any:
    costs = [SimpleNamespace(offline_ms=ms, offline_bytes=nbytes) for ms in calls_ms]
    return SimpleNamespace(backend="gmw", site=Site(name="lan", link="lan"), offline=costs)


def test_a_pictures_share_leaves_out_the_first_call_and_compares_with_one_alone() -> None:
    assert COUNTS == (1, 4, 16)
    calls = {1: [90.0, 10.0, 20.0, 30.0], 4: [900.0, 20.0, 40.0, 60.0], 16: [9000.0, 80.0, 160.0, 240.0]}
    found = list(rows([_session(count, calls[count], 1600) for count in COUNTS]))
    assert [row["together"] for row in found] == [1, 4, 16]
    assert [row["offline_ms"]["value"] for row in found] == [20.0, 10.0, 10.0]
    assert [row["of_alone"]["value"] for row in found] == pytest.approx([1.0, 0.5, 0.5])
    assert [row["offline_bytes"] for row in found] == [1600, 400, 100]
    assert found[1]["offline_ms_samples"] == [5.0, 10.0, 15.0]
    assert {row["link"] for row in found} == {"lan"}
