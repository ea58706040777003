"""The endurance runs: what their numbers are made of, that each claim can fail, and a few seconds of each for real."""

import json
from pathlib import Path
from typing import Any

import pytest
from measuring import steady
from measuring.kills import KillRun, claims, in_session, near
from measuring.leftovers import age, found_in, leftovers, uses
from measuring.load import Load
from measuring.networks import cached_artifact
from measuring.steady import ActiveTime, Journal

from pi_system.secure.layout import Bundle, Layout
from pi_system.secure.store import MaterialStore

LAYOUT = Layout.of([("seed", 16)])
NAMES = [f"{use:016x}{material:032x}" for use, material in ((1, 10), (2, 11), (3, 10))]


def test_time_in_which_a_process_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(steady.time, "time", lambda: now[0])
    active = ActiveTime(5.0)
    for moment in (100.2, 101.0, 161.0, 161.5):
        now[0] = moment
        active.look()
    assert active.active_s == pytest.approx(6.5)
    assert active.stops == [(101.0, 161.0)]


def test_a_journal_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    Journal(tmp_path / "j").add(kind="kill", pid=1)
    with open(tmp_path / "j", "a") as file:
        file.write('{"kind": "ca')
    journal = Journal(tmp_path / "j")
    journal.add(kind="call", state="served")
    assert Journal(tmp_path / "j").entries == [{"kind": "kill", "pid": 1}, {"kind": "call", "state": "served"}]


def stores(folder: Path, server: int = 2, client: int = 2) -> Any:
    """Both sides' stores with so many bundles, of the same ids."""
    made = []
    for role, root, count in (("server", folder / "server-store", server), ("client", folder / "client-0", client)):
        kept = MaterialStore(root, role=role, digest="d" * 64, backend="gmw", pairing_id="ab" * 16, limit_bytes=1 << 30)
        for number in range(count):
            kept.put(f"{number:032x}", Bundle(LAYOUT))
        made.append(kept)
    return made


@pytest.mark.parametrize("sizes", [(2, 3), (3, 2), (0, 1), (1, 0)])
def test_a_half_without_the_other_is_left_over(tmp_path: Path, sizes: tuple[int, int]) -> None:
    stores(tmp_path, *sizes)
    assert leftovers(tmp_path) == {"halves": 1, "files": 0, "parts": 0}


def test_a_file_without_a_bundle_is_left_over_and_a_bundle_without_a_file(tmp_path: Path) -> None:
    server, _ = stores(tmp_path)
    assert sum(leftovers(tmp_path).values()) == 0
    (server._folder / f"{'e' * 32}.ready").touch()
    (server._folder / ".x.part").touch()
    server._path(f"{1:032x}").unlink()
    assert leftovers(tmp_path) == {"halves": 0, "files": 2, "parts": 1}


def test_what_is_aged_was_made_so_much_earlier(tmp_path: Path) -> None:
    server, _ = stores(tmp_path)
    path = server._path(f"{0:032x}")
    before = path.stat().st_mtime
    age(tmp_path, 3600.0)
    assert path.stat().st_mtime == pytest.approx(before - 3600, abs=1)
    assert server.index.made_before(server.key, before - 1800) == {f"{0:032x}", f"{1:032x}"}


def test_a_bundle_used_twice_is_seen_in_either_log_whatever_its_numbers(tmp_path: Path) -> None:
    stores(tmp_path)
    server, client = tmp_path / "pi-server.log", tmp_path / "clients.log"
    lines = [json.dumps({"message": f"uses {name}", "request": "r"}) for name in NAMES]
    server.write_text("\n".join([*lines[:2], '{"message": "x", "exception": "Traceback"}', "no JSON"]))
    client.write_text(f"DEBUG request r uses {NAMES[0]} {NAMES[1]}\nWARNING 3 unused inferences burned, prepare anew\n")
    found = found_in(tmp_path, [server], client)
    assert (found["uses"], found["server_uses"], found["used_twice"], found["foreign"]) == (2, 2, 0, 0)
    assert (found["burned"], found["tracebacks"]) == (1, 1)
    server.write_text("\n".join(lines))
    found = found_in(tmp_path, [server], client)
    assert (found["used_twice"], found["foreign"]) == (1, 1)
    assert uses(["uses none", f"uses {NAMES[0]}"]) == NAMES[:1]


def test_a_lost_call_is_a_kills_only_near_it() -> None:
    call = {"begin_s": 10.0, "end_s": 12.0}
    assert near(call, [(11.0, 11.0)], 2.0)
    assert near(call, [(8.5, 8.5)], 2.0)
    assert not near(call, [(7.0, 7.5), (14.5, 14.5)], 2.0)


def test_a_worker_is_in_a_session_from_its_start_to_its_end() -> None:
    said = [(1, "session with x starts"), (2, "session with y starts"), (1, "session ends"), (3, "preparing 1")]
    assert in_session(json.dumps({"message": message, "process": pid}) for pid, message in said) == {2}


GOOD = {
    "states": {"served": 9},
    "uses": 9,
    "lost_otherwise": [],
    "used_twice": 0,
    "foreign": 0,
    "unpaired": 0,
    "burned": 0,
}
BAD: dict[str, dict[str, Any]] = {
    "no wrong answer": {"states": {"served": 8, "wrong": 1}},
    "nothing used twice": {"used_twice": 1},
    "the server used nothing": {"foreign": 1},
    "no half without": {"unpaired": 1},
    "no record": {"burned": 1},
    "every later call": {"lost_otherwise": [{}]},
}


@pytest.mark.parametrize("text", list(BAD))
def test_each_claim_of_kills_can_fail(text: str) -> None:
    assert {found["verdict"] for found in claims(GOOD, ["served"])} == {"supported"}
    (failed,) = [found for found in claims(GOOD | BAD[text], ["served"]) if found["verdict"] != "supported"]
    assert failed["claim"].startswith(text)
    assert claims(GOOD, ["served", "busy"])[-1]["verdict"] == "contradicted"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return cached_artifact("resnet18:m=1,size=8,classes=2", tmp_path / "cache")


@pytest.mark.slow
def test_workers_are_killed_and_nothing_is_used_twice_or_left_over(artifact: Path, tmp_path: Path) -> None:
    """Ended in the middle and gone on with, as if in one."""
    load = Load(backend="gmw", clients=3, rate_per_s=None, duration_s=3.0, counted=False)
    folder = tmp_path / "run"
    KillRun(artifact, folder, load, 1.0)._journal.add(kind="sitting", active_s=1.0)
    found = KillRun(artifact, folder, load, 1.0).run()
    assert 3 <= found["active_s"] < 60
    assert found["kills"] > 0
    assert {claim["verdict"] for claim in found["claims"]} == {"supported"}, found
