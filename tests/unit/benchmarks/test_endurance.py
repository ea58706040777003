"""The endurance runs: what their numbers are made of, that each claim can fail, and a few seconds of each for real."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import put
from measuring import RESULTS, ROOT, crowd, endurance_table, frames, steady, stopping
from measuring.documents import between_marks
from measuring.frames import FrameRun
from measuring.kills import KillRun, claims, in_session, near
from measuring.leftovers import age, found_in, leftovers, uses
from measuring.load import Load
from measuring.mutation import mutated
from measuring.networks import cached_artifact
from measuring.recording import Message
from measuring.steady import ActiveTime, Journal
from measuring.stopping import run_stops, sorted_out

from pi_system._proto.v1.control_pb2 import Bye, ClientEnvelope, ClientHello, Prepare
from pi_system.errors import PiError
from pi_system.rpc.frames import CONTROL, DATA, FrameStream
from pi_system.secure.layout import Layout
from pi_system.secure.store import MaterialStore

LAYOUT = Layout.of([("seed", 16)])
NAMES = [f"{use:016x}{material:032x}" for use, material in ((1, 10), (2, 11), (3, 10))]


def test_time_in_which_a_process_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now, journal = [100.0], Journal(tmp_path / "j")
    journal.add(kind="sitting", active_s=5.0)
    monkeypatch.setattr(time, "time", lambda: now[0])
    active = ActiveTime(journal)
    for moment in (99.5, 100.0, 101.0, 161.0, 161.5):
        now[0] = moment
        active.look()
    assert active.active_s == pytest.approx(7.0)
    assert active.stops == ActiveTime(Journal(tmp_path / "j")).stops == [(101.0, 161.0)]
    assert active.stopped_s == 60.0


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
            put(kept, f"{number:032x}", LAYOUT)
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


MESSAGES = [
    Message("hello", ClientEnvelope(hello=ClientHello(backend="gmw")).SerializeToString(), CONTROL),
    Message("meeting", bytes(range(17)), DATA),
    Message("offline", ClientEnvelope(prepare=Prepare(count=1)).SerializeToString(), CONTROL),
    Message("offline", bytes(5000), DATA),
    Message("offline", bytes(3 << 20), DATA),
    Message("online", ClientEnvelope(bye=Bye()).SerializeToString(), CONTROL),
]


def messages_read(sent: Iterable[bytes]) -> list[bytes]:
    """What a reader that expects MESSAGES takes before something is wrong."""
    stream, read = FrameStream(0.1), list[bytes]()
    stream.pump(sent, lambda error: PiError(str(error)), peer_still_reads=True)
    try:
        for message in MESSAGES:
            read.append(bytes(stream.read_control() if message.tag == CONTROL else stream.read_data(len(message.body))))
    except PiError:
        pass
    return read


@pytest.mark.parametrize(
    ("phase", "before", "flips"), [("meeting", 1, False), ("offline", 2, True), ("online", 5, False)]
)
def test_a_reader_takes_all_frames_up_to_the_phase_that_goes_wrong(phase: Any, before: int, flips: bool) -> None:
    bodies, differing = [message.body for message in MESSAGES], 0
    for seed in range(20):
        read = messages_read([frame for frame, _ in mutated(MESSAGES, phase, np.random.default_rng(seed))])
        assert read[:before] == bodies[:before]
        differing += read[3:4] not in ([], bodies[3:4])
    assert (differing > 0) == flips


def test_every_kind_of_mutation_is_drawn() -> None:
    found = {
        tuple(frame for frame, changed in mutated(MESSAGES, "hello", np.random.default_rng(seed)) if changed)
        for seed in range(200)
    }
    hello = MESSAGES[0].body + bytes([CONTROL])
    first = {frames[0] for frames in found if frames}
    assert any(hello.startswith(frame[:-1]) and len(frame) < len(hello) for frame in first)  # truncated
    assert any(frame[: len(hello) - 1] == hello[:-1] and len(frame) > len(hello) for frame in first)  # lengthened
    assert any(frame[:-1] == hello[:-1] and frame != hello for frame in first)  # of another tag
    assert {frames for frames in found if len(frames) > 1 and set(frames) == {hello}}  # doubled
    assert any(len(frame) > 1 << 20 for frame in first)  # oversized
    assert MESSAGES[1].body + bytes([DATA]) in first  # the next one in its place


GOOD_FRAMES = {
    "bad_lines": {"Traceback": 0, "ends by a bug": 0, "ended with code": 0},
    "honest": {"served": 3},
    "honest_slowest_s": 1.0,
}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("no traceback", {"bad_lines": GOOD_FRAMES["bad_lines"] | {"Traceback": 1}}),  # type: ignore[operator]
        ("no worker", {"bad_lines": GOOD_FRAMES["bad_lines"] | {"ended with code": 1}}),  # type: ignore[operator]
        ("new sessions", {"honest": {"served": 3, "busy": 1}}),
        ("new sessions", {"honest": {}}),
    ],
)
def test_each_claim_of_frames_can_fail(text: str, changed: dict[str, Any]) -> None:
    assert {found["verdict"] for found in frames.claims(GOOD_FRAMES)} == {"supported"}
    (failed,) = [found for found in frames.claims(GOOD_FRAMES | changed) if found["verdict"] != "supported"]
    assert failed["claim"].startswith(text)


def crowd_of(clients: int, **changed: Any) -> dict[str, Any]:
    """A load of 100 s in which a request is served every second, in constant memory."""
    requests = [{"state": "served", "end_s": float(end_s)} for end_s in range(1, 101)]
    memory = [(float(at_s), 1000, 3) for at_s in range(100)]
    found = {"clients": clients, "duration_s": 100.0, "timeout_s": 60.0, "states": {"served": 100}}
    return found | {"requests": requests, "memory": memory} | changed


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("no wrong", {"states": {"served": 99, "wrong": 1}}),
        ("no call failed", {"states": {"served": 99, "PeerTimeoutError": 1}}),
        ("memory", {"memory": [(float(at_s), 1000 + at_s, 3) for at_s in range(100)]}),
        (
            "at least",
            {"requests": [{"state": "served", "end_s": 2.0}] * 89 + [{"state": "served", "end_s": 101.0}] * 9},
        ),
    ],
)
def test_each_claim_of_a_crowd_can_fail(text: str, changed: dict[str, Any]) -> None:
    few = crowd_of(4)
    busy = crowd_of(64, states={"served": 100, "busy": 7})
    assert {found["verdict"] for found in crowd.claims([few, busy, few])} == {"supported"}
    (failed,) = [
        found for found in crowd.claims([few, crowd_of(64, **changed), few]) if found["verdict"] != "supported"
    ]
    assert failed["claim"].startswith(text)


def test_sessions_are_told_apart_by_when_they_had_their_place() -> None:
    sessions = [(1.0, 2.0, "served"), (1.0, 6.0, "served"), (4.9, 6.0, "wrong"), (5.1, 7.0, "served"), (0.0, 9.0, "x")]
    found = sorted_out(sessions, 5.0)
    assert found == {"before": {"served": 1}, "within": {"served": 1, "wrong": 1}, "after": {"served": 1, "x": 1}}


GOOD_STOP = {
    "probes": {"/livez 200": 3, "readiness SERVING": 3},
    "before": {},
    "within": {"served": 2},
    "after": {"PeerUnavailableError": 1},
    "exit_code": 0,
    "cut_off": 0,
}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("every probe", {"probes": {"/livez 200": 3, "/readyz 503": 1}}),
        ("every probe", {"probes": {"/livez 200": 3, "readiness NOT_SERVING": 1}}),
        ("SIGTERM loses", {"within": {"served": 2, "PeerUnavailableError": 1}}),
        ("SIGTERM loses", {"within": {}}),
        ("who comes", {"after": {"InvariantError": 1}}),
        ("the server ends", {"exit_code": 70}),
        ("the server ends", {"cut_off": 1}),
    ],
)
def test_each_claim_of_stops_can_fail(text: str, changed: dict[str, Any]) -> None:
    assert {found["verdict"] for found in stopping.claims([GOOD_STOP])} == {"supported"}
    (failed,) = [found for found in stopping.claims([GOOD_STOP | changed]) if found["verdict"] != "supported"]
    assert failed["claim"].startswith(text)


ABOUT = {"date": "2026-11-29T09:00:00", "git_sha": "abc", "usable_cores": 2}
REPORTS: dict[str, dict[str, Any]] = {
    "crowd": {"samples": [crowd_of(n, answers_per_s=rate) for n, rate in ((4, 2.5), (64, 2.4), (4, 2.5))]},
    "kills": {
        "clients": 8,
        "active_s": 3600,
        "kills": 180,
        "states": {"served": 9},
        "lost_by_kills": 5,
        "lost_by_stops": 0,
    },
    "frames": {"frames": 1_000_001, "streams": 5000, "backends": ["gmw", "gc"], "active_s": 900},
    "stop": {"clients": 8, "load_s": 10.0, "rounds": [GOOD_STOP] * 5},
}


def test_the_table_has_every_claim_and_what_it_was_measured_on(tmp_path: Path) -> None:
    assert endurance_table.table(tmp_path).endswith(
        "`crowd`: not run.\n`kills`: not run.\n`frames`: not run.\n`stop`: not run."
    )
    for name, fields in REPORTS.items():
        claims = [steady.claim(f"claim of {name}", {"served": 7}, name != "stop")]
        report = {"question": name, **fields, "claims": claims, "environment": ABOUT}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    text = endurance_table.table(tmp_path)
    assert "| `kills` | claim of kills | 7 served | supported |" in text
    assert "| `stop` | claim of stop | 7 served | contradicted |" in text
    assert "64 clients for 100 s, 4 before and after: 2.40 and 2.50 answers a second; 2026-11-29, commit `abc`" in text
    assert "8 clients for 3,600 s, 180 workers killed: 9 served; 5 lost by kills" in text
    assert "1,000,001 mutated frames in 5,000 streams of gmw, gc in 900 s" in text
    assert "8 clients for 10 s, then SIGTERM, 5 times" in text


def test_the_table_in_the_documents_is_current() -> None:
    document = (ROOT / "docs" / "reference" / "results.md").read_text()
    assert between_marks(document, endurance_table.MARK, endurance_table.table(RESULTS / "load")) == document


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return cached_artifact("resnet18:m=1,size=8,classes=2", tmp_path / "cache")


@pytest.mark.slow
def test_workers_are_killed_and_nothing_is_used_twice_or_left_over(artifact: Path, tmp_path: Path) -> None:
    """Ended in the middle and gone on with, as if in one."""
    load = Load(backend="gmw", clients=3, rate_per_s=None, duration_s=3.0, counted=False)
    folder = tmp_path / "run"
    KillRun(artifact, folder, load, 0.3)._journal.add(kind="sitting", active_s=1.0)
    found = KillRun(artifact, folder, load, 0.3).run()
    assert 3 <= found["active_s"] < 60
    assert found["kills"] > 0
    assert {claim["verdict"] for claim in found["claims"]} == {"supported"}, found


@pytest.mark.slow
def test_mutated_frames_of_two_backends_at_a_real_server(artifact: Path, tmp_path: Path) -> None:
    found = FrameRun(artifact, tmp_path / "run", ("gmw", "fss")).run(3000)
    assert found["frames"] >= 3000
    phases = {key.split()[1] for key in found["frames_by_phase"]}
    assert "hello" in phases
    assert phases & {"meeting", "offline", "online"}  # which of them within so few frames is chance
    assert {claim["verdict"] for claim in found["claims"]} == {"supported"}, found


@pytest.mark.slow
def test_a_server_under_load_is_ready_and_loses_no_session_at_sigterm(artifact: Path, tmp_path: Path) -> None:
    load = Load(backend="gmw", clients=3, rate_per_s=None, duration_s=2.0, counted=True, timeout_s=20.0)
    found = run_stops(artifact, tmp_path / "run", load, 1)
    assert {claim["verdict"] for claim in found["claims"]} == {"supported"}, found
