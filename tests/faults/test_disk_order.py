"""What is on disk before which byte is sent: a power cut at any moment loses at most work, never a mark of a use."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import put
from changed_artifact import runnable
from disk_log import DiskLog
from parties import BACKENDS, make_parties, prepare
from recording import Relay
from scaled_artifact import relu_artifact
from streams import in_thread, served

from pi_system import durable
from pi_system.database import Database
from pi_system.rpc import client_session, server_session
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.server_session import SessionHost, serve_session
from pi_system.rpc.session_config import SESSION_METHOD, SessionConfig
from pi_system.secure.index import INDEX_FILE
from pi_system.secure.layout import Layout
from pi_system.secure.party import ACK
from pi_system.secure.store import MaterialStore

ARTIFACT = relu_artifact(weight_scale=0.3)
LAYOUT = Layout.of([("seed", 16)])
FULL = ("wal", 2)
ID = "a" * 32


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Any:
    return DiskLog(monkeypatch)


def seen_by_others(folder: Path) -> Any:
    """States of material that are committed: what another process reads."""
    with closing(sqlite3.connect(folder / INDEX_FILE)) as db:
        return [row[0] for row in db.execute("SELECT state FROM material ORDER BY number")]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Any:
    """How far sqlite brings each durable change to the disk before its commit returns: FULL is all the way."""
    found, change = [], Database.change

    @contextmanager
    def watched(file: Any, *, durable: Any = True) -> Any:
        with change(file, durable=durable) as db:
            if durable:
                found.append(
                    tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
                )
            yield db

    monkeypatch.setattr(Database, "change", watched)
    return found


def test_put_syncs_the_file_then_its_name_and_taking_it_the_index(log: Any, synced: Any, tmp_path: Path) -> None:
    store = MaterialStore(
        tmp_path, role="client", digest="d" * 64, backend="gmw", pairing_id="ab" * 16, limit_bytes=1 << 20
    )
    put(store, ID, LAYOUT)
    log.check(tmp_path, 1, ".ready")
    store.take(ID)
    assert seen_by_others(tmp_path / "client") == ["taken"]
    assert all(value == FULL for value in synced)
    store.load(ID, LAYOUT)
    log.check(tmp_path, 1, ".ready")


@pytest.mark.parametrize("write", [durable.write_file, durable.create_file])
def test_every_kept_file_is_synced_with_its_name(write: Callable[..., Any], log: Any, tmp_path: Path) -> None:
    write(tmp_path / "kept", b"content")
    log.check(tmp_path, 1, "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("write", [durable.write_file, durable.create_file])
def test_a_failed_write_leaves_nothing(
    write: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "kept", b"content")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_acknowledgement_leaves_after_the_half_is_on_disk(backend: str, log: Any, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    server, client = make_parties(backend, ARTIFACT, tmp_path)
    runs = 2 * client.runs(2)

    class Watched(Relay):
        def send(self, data: Any) -> None:
            number = len(acknowledged)
            if number < len(runs) and bytes(data) == ACK * runs[number]:
                log.check(tmp_path / "client", sum(acknowledged), ".ready")
                acknowledged.append(runs[number])
                log.check(tmp_path / "server", sum(acknowledged), ".ready")
            super().send(data)

    for _ in range(2):
        prepare(server, client, 2, wrap=lambda role, channel: Watched(channel) if role == "server" else channel)
    assert acknowledged == runs


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_server_that_cannot_store_leaves_the_client_without_its_half(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = MaterialStore.making

    @contextmanager
    def full(store: Any, material_id: Any, layout: Any) -> Any:
        with making(store, material_id, layout) as draft:
            yield draft
            if store._binding["role"] == "server":
                raise OSError("no space left on device")

    monkeypatch.setattr(MaterialStore, "making", full)
    server, client = make_parties(backend, ARTIFACT, tmp_path)
    with pytest.raises(OSError, match="no space"):
        prepare(server, client, 1)
    assert client.available() == 0


@pytest.mark.parametrize("backend", ["gmw", "gc", "table"])
def test_a_server_whose_disk_is_full_in_the_middle_of_a_run_keeps_none_of_it(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = make_parties(backend, runnable(backend, ARTIFACT), tmp_path)
    prepare(server, client, 1)
    before, making, sealed = server.store.ids(), MaterialStore.making, []

    @contextmanager
    def full(store: Any, material_id: Any, layout: Any) -> Any:
        with making(store, material_id, layout) as draft:
            yield draft
            if store._binding["role"] == "server":
                sealed.append(material_id)
                if len(sealed) == 3:
                    raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(MaterialStore, "making", full)
        with pytest.raises(OSError, match="no space"):
            prepare(server, client, 4)
    assert server.store.ids() == client.store.ids() == before
    assert len(list((tmp_path / "server").rglob("*.ready"))) == 1
    prepare(server, client, 2)
    assert set(server.store.ids()) == set(client.store.ids())
    assert client.available() == 3


def test_both_sides_marks_are_on_disk_before_the_first_byte_of_a_use(
    log: Any, synced: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = SessionHost(artifact=ARTIFACT, store_dir=tmp_path, dealer=None, allowed=("gmw",))
    seen = []

    def client_writes(stream: Any, envelope: Any) -> None:
        if envelope.WhichOneof("message") == "infer":
            seen.append("infer")
            assert seen_by_others(tmp_path / "client") == ["used"]
            log.check(tmp_path / "client", before["client"] + 1, "uses")
        write(stream, envelope)

    def server_writes(stream: Any, envelope: Any) -> None:
        if envelope.WhichOneof("message") == "ready":
            seen.append("ready")
            time.sleep(0.3)  # a client that does not wait for this message would have gone on by now
            log.check(tmp_path / "client", before["client"] + 1, "uses")
            assert seen_by_others(tmp_path / "server") == ["used"]
            log.check(tmp_path / "server", before["server"] + 1, "uses")
        write(stream, envelope)

    def sends(channel: Any, data: Any) -> None:
        if seen == ["infer", "ready"]:
            seen.append("masked picture")
            log.check(tmp_path / "client", before["client"] + 2, "uses")
        send(channel, data)

    write, send = client_session.write, GrpcChannel.send  # type: ignore[attr-defined]
    with served({SESSION_METHOD: in_thread(lambda stream: serve_session(stream, host))}, timeout_s=15.0) as server:
        endpoint = Endpoint(server=server, dealer=None, store_dir=tmp_path, timeout_s=15.0)
        config = SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16))
        with ClientSession(endpoint, config) as session:
            session.prepare(1)
            before = {
                role: sum(name == "uses" and f"/{role}/" in folder for folder, name in log.named)
                for role in ("client", "server")
            }
            monkeypatch.setattr(client_session, "write", client_writes)
            monkeypatch.setattr(server_session, "write", server_writes)
            monkeypatch.setattr(GrpcChannel, "send", sends)
            session.infer(np.zeros((1, 1, 8, 8), np.float32))
    assert seen == ["infer", "ready", "masked picture"]
    assert all(value == FULL for value in synced)
