"""A store that keeps itself: halves without a peer's, expiry, room over all clients, a log that costs nothing."""

import os
import re
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bundles import put
from click.testing import CliRunner
from parties import make_parties, prepare, reserve
from scaled_artifact import relu_artifact

from pi_client.cli import main as client_main
from pi_server.cli import main as server_main
from pi_system.errors import (
    ConfigError,
    CorrelationExhaustedError,
    CorrelationMismatchError,
    CorrelationReusedError,
    LimitError,
    RemoteProtocolError,
    StorageError,
)
from pi_system.secure import pairing, store
from pi_system.secure.chain import LOCK, locked
from pi_system.secure.index import INDEX_FILE, Index
from pi_system.secure.layout import Layout
from pi_system.secure.pairing import meet_server
from pi_system.secure.store import MaterialStore
from pi_system.secure.stores import EMPTY_S, LOG_DAYS, all_stores, tidy

ARTIFACT = relu_artifact(weight_scale=0.3)
LAYOUT = Layout.of([("seed", 16)])
BYTES = 4096 + LAYOUT.nbytes
ROLES = ("client", "server")
ID = f"{7:032x}"
CLIENT, OTHER = "ab" * 16, "cd" * 16
LOG_S = LOG_DAYS * 86400


def open_store(root: Path, role: str = "server", client: Any = CLIENT, limit_bytes: Any = 1 << 30) -> Any:
    return MaterialStore(root, role=role, digest="d" * 64, backend="gmw", pairing_id=client, limit_bytes=limit_bytes)


def filled(root: Path, count: int, **options: Any) -> Any:
    found = open_store(root, **options)
    for number in range(count):
        put(found, f"{number:032x}", LAYOUT)
    return found


def aged(root: Path, role: str) -> Any:
    """All that was made or used so far was so long ago."""
    with Index(root / role)._file.change() as db:
        db.execute("UPDATE material SET made_s = made_s - 3600, changed_s = changed_s - 3600")
    for path in (root / role).rglob("*.ready"):
        os.utime(path, (time.time() - 3600,) * 2)


def without_row(root: Path, role: str) -> Any:
    """One prepared bundle of this side is forgotten, as if it had never come to be."""
    with Index(root / role)._file.change() as db:
        db.execute("DELETE FROM material WHERE number = (SELECT min(number) FROM material)")


@pytest.mark.parametrize("loser", ROLES)
def test_what_one_side_lacks_the_other_burns_at_the_next_meeting(
    loser: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(*make_parties("gmw", ARTIFACT, tmp_path), 2)
    without_row(tmp_path, loser)
    for role in ROLES:
        aged(tmp_path, role)
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert len(server.store.ids()) == len(client.store.ids()) == 1
    assert server.store.ids() == client.store.ids()
    assert len(list(tmp_path.rglob("*.ready"))) == 2
    assert "1 unused inferences burned" in caplog.text
    reserve(server, client, 1)


def test_what_a_session_beside_this_one_has_just_made_or_taken_is_spared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_parties("gmw", ARTIFACT, tmp_path)
    prepare(*first, 2)
    without_row(tmp_path, "client")  # the client is about to store its half
    names = first[1].reserve(1)  # the server is about to hear of it
    second = make_parties("gmw", ARTIFACT, tmp_path)
    assert len(second[0].store.ids()) == 2
    first[0].reserve(names)
    assert caplog.text == ""


def test_a_client_that_announces_more_than_there_can_be_is_refused(tmp_path: Path) -> None:
    server, _ = make_parties("gmw", ARTIFACT, tmp_path)
    said = [b"\1" + bytes(16), (pairing.MAX_NAMED + 1).to_bytes(4, "little")]

    class Peer:
        def send(self, data: Any) -> Any:
            pass

        def recv(self, nbytes: Any) -> Any:
            return said.pop(0)

    peer: Any = Peer()
    with pytest.raises(RemoteProtocolError, match="expected at most 262144 bundles"):
        meet_server(server.store, peer)


def test_expired_material_is_not_given_out_and_goes_on_both_sides(tmp_path: Path) -> None:
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    server.store.index.set(keep_s=3000.0)
    prepare(server, client, 1)
    with server.store.index._file.change() as db:
        db.execute("UPDATE material SET expires_s = expires_s - 3600, made_s = made_s - 3600")
    assert server.store.ids() == []
    with pytest.raises(CorrelationExhaustedError, match="expected 1 unused, found 0"):
        server.store.take_next(1)
    aged(tmp_path, "client")
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert client.available() == 0
    assert not list((tmp_path / "client").rglob("*.ready"))


def test_room_is_of_an_owner_whatever_ids_it_draws_and_of_all_together(tmp_path: Path) -> None:
    mine, theirs = filled(tmp_path, 2), filled(tmp_path, 1, client=OTHER)
    mine.index.claim(CLIENT, "alice", 4 * BYTES)
    mine.index.claim(OTHER, "alice", 4 * BYTES)
    mine.check_room(BYTES)
    for one in (mine, theirs, open_store(tmp_path, client=OTHER)):
        with pytest.raises(
            LimitError, match=f"client alice: expected at most {4 * BYTES} bytes, found {3 * BYTES} held"
        ):
            one.check_room(BYTES + 1)
    mine.index.claim(OTHER, "bob", 4 * BYTES)
    mine.check_room(2 * BYTES)
    mine.index.set(room=4 * BYTES)
    with pytest.raises(LimitError, match="material of all clients"):
        mine.check_room(2 * BYTES)


def test_sessions_side_by_side_pass_no_limit_together(tmp_path: Path) -> None:
    """Both asked for room before either had stored anything."""
    first, second = open_store(tmp_path), open_store(tmp_path, client=OTHER)
    for client in (CLIENT, OTHER):
        first.index.claim(client, "alice", 3 * BYTES)
    for one in (first, second):
        one.check_room(2 * BYTES)
    for number, one in enumerate((first, second, first)):
        put(one, f"{number:032x}", LAYOUT)
    with pytest.raises(LimitError, match="client alice"):
        put(second, f"{9:032x}", LAYOUT)
    assert len(list(tmp_path.rglob("*.ready"))) == 3


def test_past_uses_cost_a_listing_nothing(tmp_path: Path) -> None:
    """Counted in steps of sqlite's machine, which grow with the rows that are read."""
    found = filled(tmp_path, 3)
    index = found.index

    def steps() -> Any:
        counted: list[int] = []

        def count_one() -> None:
            counted.append(1)

        index._file._connection().set_progress_handler(count_one, 1)
        assert len(found.ids()) == 3
        assert [stored.unused() for stored in all_stores(tmp_path, "server")] == [(3, 3 * BYTES)]
        assert index.held() == index.held(key=found.key) == 3 * BYTES
        found.check_room(1)
        index._file._connection().set_progress_handler(None, 1)
        return len(counted)

    before = steps()
    with index._file.change(durable=False) as db:
        columns = "store, id, state, bytes, made_s, expires_s, changed_s"
        row = f"INSERT INTO material ({columns}) VALUES (?, ?, 'used', 9, 0, 0, 0)"
        db.executemany(row, ((found.key, f"{number:032x}") for number in range(1000, 101_000)))
    assert steps() == before
    assert len(list(found._folder.iterdir())) == 3


def test_gc_and_status_of_both_programs(tmp_path: Path) -> None:
    for role, main in zip(ROLES, (client_main, server_main), strict=True):
        kept = filled(tmp_path, 3, role=role)
        kept.take(f"{0:032x}")
        kept.load(f"{0:032x}", LAYOUT)
        kept._path(f"{1:032x}").unlink()
        (kept._folder / f"{'e' * 32}.ready").write_bytes(b"no row")
        aged(tmp_path, role)

        def run(command: Any, *arguments: Any, main: Any = main) -> Any:
            result = CliRunner().invoke(main, ["store", command, "--store", str(tmp_path), *arguments])
            assert result.exit_code == 0, result.output
            return result.output

        assert run("status").startswith(
            f"prepared  2, {2 * BYTES:,} bytes\ntaken     0\nused      1\nburned    0\n1 stores, "
        )
        assert run("gc") == "1 burned, 1 files deleted, 0 uses forgotten\n"
        assert run("gc", "--log-days", "0") == "0 burned, 0 files deleted, 1 uses forgotten\n"
        assert kept.ids() == [f"{2:032x}"]


def test_a_store_of_the_layout_before_is_burned_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One file an inference and one a use, without an index: no use of it is lost, so none is made twice."""
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    prepare(server, client, 2)
    for role in ROLES:
        for path in (tmp_path / role).glob(f"{INDEX_FILE}*"):
            path.unlink()
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert client.available() == 0
    assert caplog.text.count("2 unused inferences burned, prepare anew") == 2
    assert not list(tmp_path.rglob("*.ready"))


def test_a_damaged_index_is_made_anew_and_one_of_another_layout_refused(tmp_path: Path) -> None:
    found = filled(tmp_path, 1)
    path = tmp_path / "server" / INDEX_FILE
    path.write_bytes(b"no database" * 1000)
    for beside in path.parent.glob(f"{INDEX_FILE}-*"):
        beside.unlink()
    fresh = open_store(tmp_path)
    assert fresh.ids() == []
    with fresh.index._file.change() as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="expected layout 1, found 99"):
        open_store(tmp_path).ids()
    assert found is not fresh


def test_an_index_whose_damage_is_found_in_use_is_made_anew(tmp_path: Path) -> None:
    """Its first page is whole: it can be opened."""
    found = filled(tmp_path, 4)
    path = tmp_path / "server" / INDEX_FILE
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(StorageError, match="malformed; made anew, which burns what it listed"):
        open_store(tmp_path).ids()
    assert open_store(tmp_path).ids() == []
    assert found.ids() == []
    put(found, f"{10:032x}", LAYOUT)
    assert open_store(tmp_path).ids() == [f"{10:032x}"]


def test_who_only_said_hello_leaves_no_owner_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the newest may be about to store something, and somebody may come again."""
    monkeypatch.setattr("pi_system.secure.index._NEW_OWNERS", 2)
    index = filled(tmp_path, 1).index
    for number in range(5):
        index.claim(f"{number:032x}", "mallory", 1)
    index.claim(CLIENT, "alice", 1)
    index.claim(f"{0:032x}", "mallory", 1)
    tidy(tmp_path, "server", LOG_S)
    kept = [number for number in range(5) if index.owner(f"{number:032x}")]
    assert kept == [0]
    index.claim("ef" * 16, "bob", 1)
    index.claim("fe" * 16, "bob", 1)
    tidy(tmp_path, "server", LOG_S)
    assert index.owner(CLIENT) == ("alice", 1)
    assert index.owner(f"{0:032x}") is None


def test_a_disk_that_does_not_take_the_index_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / INDEX_FILE).mkdir()
    with pytest.raises(StorageError, match="unable to open"):
        open_store(tmp_path).ids()


def test_an_index_that_was_replaced_under_an_open_one_is_what_counts(tmp_path: Path) -> None:
    found = filled(tmp_path / "here", 2)
    filled(tmp_path / "there", 1)
    for suffix in ("", "-wal", "-shm"):
        path = tmp_path / "there" / "server" / f"{INDEX_FILE}{suffix}"
        target = tmp_path / "here" / "server" / path.name
        target.unlink(missing_ok=True)
        if path.exists():
            path.rename(target)
    assert found.ids() == [f"{0:032x}"]
    with pytest.raises(CorrelationMismatchError, match="not held"):
        found.take(f"{1:032x}")


def test_what_a_burn_leaves_is_the_log_of_what_was_used_and_burned(tmp_path: Path) -> None:
    found = filled(tmp_path, 3)
    found.take(f"{0:032x}")
    found.load(f"{0:032x}", LAYOUT)
    CliRunner().invoke(server_main, ["store", "burn", "--all", "--store", str(tmp_path)], catch_exceptions=False)
    shown = CliRunner().invoke(server_main, ["store", "status", "--store", str(tmp_path)]).output
    assert re.findall(r"(prepared|used|burned) +(\d)", shown) == [("prepared", "0"), ("used", "1"), ("burned", "2")]
    with pytest.raises(CorrelationReusedError, match="expected unused, found burned"):
        found.take(f"{1:032x}")


@pytest.mark.parametrize("place", ["server", "server/deeper", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_is_a_storage_error(place: str, tmp_path: Path) -> None:
    (tmp_path / "server").touch()
    index = Index(tmp_path / place)
    with pytest.raises(StorageError, match=INDEX_FILE):
        index.set(keep_s=1.0)
    with pytest.raises(StorageError, match=INDEX_FILE):
        index.keys()


def test_leftovers_are_spared_until_no_session_can_be_at_work_on_them(tmp_path: Path) -> None:
    found = filled(tmp_path, 1)
    found.take(f"{0:032x}")
    assert store.sweep(found.index, found.key, found._folder) == (0, 0)
    aged(tmp_path, "server")
    assert store.sweep(found.index, found.key, found._folder) == (0, 1)


def test_what_a_killed_worker_left_half_written_goes_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    found = filled(tmp_path, 1)
    old, young = (found._folder / f".{name}.ready.00.part" for name in ("old", "young"))
    for part in (old, young):
        part.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    assert store.sweep(found.index, found.key, found._folder) == (0, 0)
    assert (old.exists(), young.exists()) == (False, True)


def test_two_sessions_that_store_one_id_at_once_are_a_typed_error_of_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looked before the first had stored its bundle, whose file and row stay as they are."""
    first, second = open_store(tmp_path), open_store(tmp_path)
    put(first, ID, LAYOUT)
    before = second._path(ID).read_bytes()
    monkeypatch.setattr(second.index, "state", lambda key, material_id: "")
    with pytest.raises(CorrelationReusedError, match="found it stored meanwhile"):
        put(second, ID, LAYOUT)
    assert second._path(ID).read_bytes() == before
    first.take(ID)
    first.load(ID, LAYOUT)
    with pytest.raises(CorrelationReusedError, match="found one that there was"):
        put(second, ID, LAYOUT)
    assert not list(tmp_path.rglob("*.ready"))
    assert not list(tmp_path.rglob("*.part"))


def left_alone(*found: Any) -> None:
    """Nobody has come to them for two days."""
    for one in found:
        os.utime(one._folder / LOCK, (time.time() - 2 * EMPTY_S,) * 2)


def test_an_empty_store_goes_and_its_client_starts_anew(tmp_path: Path) -> None:
    """Clients draw ids: without this each leaves a folder, a record and rows for ever."""
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    prepare(server, client, 1)
    server.store.index.claim(client.store._binding["pairing_id"], "alice", 10**9)
    left_alone(server.store)
    tidy(tmp_path, "server", LOG_S)
    assert len(server.store.ids()) == 1  # not empty
    names = reserve(server, client, 1)
    assert names
    tidy(tmp_path, "server", LOG_S)
    assert server.store._folder.exists()  # its client was there just now
    left_alone(server.store)
    tidy(tmp_path, "server", LOG_S)
    assert not server.store._folder.exists()
    assert server.store.index.record(server.store.key) == ("", 0, 0)
    assert len(server.store.index.taken_since(server.store.key, 0.0)) == 1  # the log stays
    assert server.store.index.owner(client.store._binding["pairing_id"])
    tidy(tmp_path, "server", 0.0)
    aged(tmp_path, "server")
    tidy(tmp_path, "server", 0.0)
    assert not server.store.index.keys()
    assert not server.store.index.owner(client.store._binding["pairing_id"])
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    prepare(server, client, 1)
    reserve(server, client, 1)


def test_material_that_was_used_is_refused_after_its_store_went(tmp_path: Path) -> None:
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    prepare(server, client, 1)
    saved = {path: path.read_bytes() for path in tmp_path.rglob("*.ready")}
    assert len(saved) == 2
    reserve(server, client, 1)
    left_alone(server.store, client.store)
    for role in ROLES:
        tidy(tmp_path, role, LOG_S)
    for path, content in saved.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert client.available() == 0
    with pytest.raises(CorrelationExhaustedError):
        client.reserve(1)


def test_a_session_whose_store_went_under_it_ends_with_a_typed_error(tmp_path: Path) -> None:
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    left_alone(server.store, client.store)
    for role in ROLES:
        tidy(tmp_path, role, LOG_S)
    with pytest.raises(CorrelationMismatchError, match="burned while it was written"):
        put(server.store, ID, LAYOUT)
    with pytest.raises(CorrelationMismatchError, match="connect again to prepare anew"):
        client.store.reserve_next(1)


def test_what_nobody_comes_for_any_more_makes_room_when_it_expires(tmp_path: Path) -> None:
    """Its client's id is gone with a container, say: no meeting will find it."""
    found = open_store(tmp_path)
    found.index.set(keep_s=3000.0)
    put(found, ID, LAYOUT)
    with found.index._file.change() as db:
        db.execute("UPDATE material SET expires_s = expires_s - 3600, made_s = made_s - 3600")
    aged(tmp_path, "server")
    assert found.index.held() == BYTES
    assert tidy(tmp_path, "server", LOG_S) == (1, 1, 0)
    assert found.index.held() == 0
    assert not list(tmp_path.rglob("*.ready"))


def test_a_lock_that_was_dropped_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    """Of two that wait for it, and of who comes later, never two have it."""
    order: list[str] = []
    with locked(tmp_path / "store"):
        waiting = threading.Thread(target=lambda: _note(order, tmp_path / "store"))
        waiting.start()
        time.sleep(0.2)
        shutil.rmtree(tmp_path / "store")
    waiting.join(10)
    assert order == ["waited"]
    assert (tmp_path / "store" / LOCK).exists()


def _note(order: list[str], folder: Path) -> None:
    with locked(folder):
        order.append("waited")
