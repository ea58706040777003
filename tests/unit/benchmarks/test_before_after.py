"""Two commits compared: pairs of rounds, medians of ratios, bytes; the committed table is of the committed runs."""

import json
from pathlib import Path

import before_after
import pytest
from measuring.documents import between_marks

from pi_system.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "benchmarks" / "results" / "truncation"


def report(ms, nbytes, sha):
    row = {"network": "n", "link": "lan", "backend": "fss", "online_ms": {"median": ms}, "bytes_per_relu": nbytes}
    networks = [{"network": "n", "relus": 1000}]
    environment = {"git_sha": sha, "date": "2026-01-02T03:04", "git_dirty": False, "load_before": [0.5]}
    return {"networks": networks, "repeat": 9, "results": [row], "environment": environment}


@pytest.fixture
def folder(tmp_path):
    for name, ms, nbytes in (("before-1", 10, 8), ("after-1", 20, 6), ("before-2", 10, 8), ("after-2", 11, 6)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report(ms, nbytes, name[:1])))
    return tmp_path


def test_a_ratio_is_that_of_its_round(folder):
    line = before_after.table(before_after.rounds(folder)).splitlines()[-1]
    cells = "| n | 1,000 | lan | `fss` | 2 | 10.0 | 15.5 | 1.55 (1.10, 2.00) | contradicted"
    assert line == f"{cells} | 8.00 | 6.00 | 0.750 |"


def test_a_round_without_its_other_half_is_refused(folder):
    (folder / "after-2.json").unlink()
    with pytest.raises(InputError, match="one of each a round"):
        before_after.rounds(folder)


def test_marks_are_needed():
    with pytest.raises(InputError, match="expected"):
        between_marks("no marks", before_after.BEGIN, before_after.END, "text")


def test_the_document_states_the_committed_runs():
    document = before_after.DOCUMENT.read_text()
    assert before_after.BEGIN in document
    table = before_after.table(before_after.rounds(RESULTS))
    assert between_marks(document, before_after.BEGIN, before_after.END, table) == document
