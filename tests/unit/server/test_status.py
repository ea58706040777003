"""What makes a server not ready: not that its workers are taken, but that none has listened for a while."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from pi_server.status import DEAF_S, Status


def status(folder: Path, **fields: Any) -> Status:
    return Status(ticked_s=time.monotonic(), places=4, store_dir=folder, **fields)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"listening": 1, "deaf_s": 0.0}, None),
        ({"listening": 0, "deaf_s": DEAF_S / 2, "taken": 4}, None),
        ({"listening": 0, "deaf_s": DEAF_S + 1}, "workers: expected one that listens, found none for 11 s"),
        ({"listening": 0}, "workers: expected one that listens, found none for inf s"),
        ({"listening": 0, "stopping": True}, "server: stopping"),
        ({"listening": 1, "certificate_days": -1.0}, "certificate: expired"),
    ],
)
def test_problems(tmp_path: Path, fields: dict[str, Any], problem: str | None) -> None:
    assert status(tmp_path, **fields).problems() == ([problem] if problem else [])


def test_a_supervisor_that_does_not_tick_is_not_alive(tmp_path: Path) -> None:
    assert status(tmp_path).alive
    assert not Status(ticked_s=-math.inf, places=4, store_dir=tmp_path).alive
