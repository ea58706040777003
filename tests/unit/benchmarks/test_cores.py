"""cores.py: kernels on one core and on several, and what is said of a kept run."""

from typing import Any

import cores
import pytest

from pi_system.kernels.cores import threads


def test_every_kernel_is_timed_on_one_core_and_on_several() -> None:
    before = threads()
    rows = list(cores.kernel_rows(3, 2))
    assert [row["kernel"] for row in rows] == list(cores.kernels())
    assert {len(row[f"{name}_ms_samples"]) for row in rows for name in ("one", "many")} == {2}
    for row in rows:
        assert row["faster"]["low"] <= row["faster"]["value"] <= row["faster"]["high"]
    assert threads() == before


def test_what_is_said_of_a_kept_run(monkeypatch: pytest.MonkeyPatch) -> None:
    faster = {"value": 1.5, "low": 1.25, "high": 2.0}
    about = {"cpu": "A CPU", "date": "2026-11-30T01:02:03", "git_sha": "abc"}
    report: dict[str, Any] = {"cores": 4, "repeat": 7, "environment": about}
    report["kernels"] = [{"kernel": "code", "one_ms_samples": [1.0, 2.0], "faster": faster}]
    report["sessions"] = [{"network": "n", "backend": "gmw", "phase": "online", "faster": faster}]
    monkeypatch.setattr(cores, "newest", lambda folder: report)
    said = cores.statement()
    assert "| code | 1.50 (1.25 to 2.00) |" in said
    assert "| `n` | `gmw` | online | 1.50 (1.25 to 2.00) |" in said
    assert "4 cores; medians" in said
    assert "2 calls of each kernel and 7 of each session in turn, A CPU, 2026-11-30, commit `abc`" in said
