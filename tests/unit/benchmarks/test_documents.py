"""What benchmarks have in common: which report a document quotes."""

import json
from pathlib import Path
from typing import Any

import pytest
from measuring.documents import newest

from pi_system.errors import InputError


def _written(folder: Path, name: str, **report: Any) -> None:
    (folder / name).write_text(json.dumps(report))


def test_the_newest_report_is_the_one_measured_last_whatever_it_is_called(tmp_path: Path) -> None:
    _written(tmp_path, "2026-11-30_b.json", environment={"date": "2026-11-30T05:00:00+00:00"}, value=1)
    _written(tmp_path, "2026-11-30_a.json", environment={"date": "2026-11-30T12:00:00+00:00"}, value=2)
    _written(tmp_path, "z.json", value=3)
    assert newest(tmp_path)["value"] == 2
    assert newest(tmp_path, lambda report: report["value"] != 2)["value"] == 1
    with pytest.raises(InputError, match="found none"):
        newest(tmp_path, lambda report: False)
