"""What makes a server not ready: not that its workers are taken, but that none has listened for a while."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from pi_server.clients import Clients
from pi_server.status import DEAF_S, Status


def status(folder: Path, **fields: Any) -> Status:
    Clients(folder, create=True).check_readable()
    return Status(ticked_s=time.monotonic(), places=4, store_dir=folder, **fields)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"listening": 1, "deaf_s": 0.0}, None),
        ({"listening": 0, "deaf_s": DEAF_S / 2, "taken": 4}, None),
        ({"listening": 0, "deaf_s": DEAF_S + 1}, "workers: expected one that listens, found none for 11 s"),
        ({"listening": 0}, "workers: expected one that listens, found none for inf s"),
        ({"listening": 0, "stopping": True}, "server: stopping"),
        ({"listening": 1, "certificate_problem": "certificate: expired"}, "certificate: expired"),
    ],
)
def test_problems(tmp_path: Path, fields: dict[str, Any], problem: str | None) -> None:
    assert status(tmp_path, **fields).problems() == ([problem] if problem else [])


def test_a_supervisor_that_does_not_tick_is_not_alive(tmp_path: Path) -> None:
    assert status(tmp_path).alive
    assert not Status(ticked_s=-math.inf, places=4, store_dir=tmp_path).alive


@pytest.mark.parametrize("damaged", ["", "server"])
def test_a_server_that_cannot_read_who_may_come_is_not_ready(tmp_path: Path, damaged: str) -> None:
    """The index is made anew, since material is; the register of clients is not."""
    moment = status(tmp_path, listening=1)
    assert moment.problems() == []
    name = "clients.sqlite3" if damaged == "" else "index.sqlite3"
    for path in (tmp_path / damaged).glob(f"{name}*"):
        path.unlink()
    (tmp_path / damaged / name).write_bytes(b"no database" * 1000)
    found = moment.problems()
    assert [damaged == ""] == [bool(found)]
    if found:
        assert found[0].startswith("storage: ")
        assert found[0].endswith("put a copy of it back")
        assert str(tmp_path) not in found[0]  # clients are told the same
