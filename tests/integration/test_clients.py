"""pi-server and clients with certificates of their own: limits, revocation, logs with names, what a drawn id gives."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from parties import uses_in
from processes import gmw_session, model_folder, pi_client, started
from scaled_artifact import relu_artifact

from pi_server.clients import Clients
from pi_system.errors import ClientRefusedError
from pi_system.rpc.keys import issue_client
from pi_system.rpc.tls import fingerprint_of
from pi_system.secure.index import Index


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Any:
    return model_folder(tmp_path_factory.mktemp("clients"), relu_artifact(0.1))


@pytest.fixture(scope="module")
def server(folder: Path, link_keys: Any) -> Any:
    (folder / "pi.toml").write_text(
        f'[pi-server.serve]\nartifact = "{folder}/model"\nkeys = "{link_keys}/server"\nbackend = ["gmw"]\n'
        f'listen = "127.0.0.1:0"\nstore = "{folder}/server"\n'
    )
    options = ("--config", f"{folder}/pi.toml", "--log-format", "json")
    with started("-m", "pi_server.cli", *options, "serve") as running:
        yield running


@pytest.fixture
def register(folder: Path, server: Any, link_keys: Any) -> Any:
    """Registers a client of that name with limits; returns the register."""

    def add(name: str, **limits: Any) -> Any:
        pem = issue_client(link_keys / "authority", name, folder / name)
        clients = Clients(folder / "server")
        clients.add(name, fingerprint_of(pem), limits)
        return clients

    return add


@pytest.fixture
def client(folder: Path, server: Any, link_keys: Any) -> Any:
    def run(keys: Any, *arguments: Any, code: Any = 0) -> Any:
        keys = folder / keys if (folder / keys).is_dir() else link_keys / keys
        completed = pi_client(folder, *arguments, PI_SERVER=server[1], PI_KEYS=str(keys))
        assert completed.returncode == code, completed.stderr
        return completed

    return run


def logged(server: Any, request: Any) -> Any:
    """What the server logged of a session."""
    server[0].wait_log(f'session ends.*"request": "{request}"')
    return [entry for entry in map(json.loads, server[0].log) if entry.get("request") == request]


def test_a_client_is_named_in_the_log_by_the_request_that_it_prints(register: Any, client: Any, server: Any) -> None:
    register("alice")
    result = json.loads(client("alice", "infer", "a.png", "--json", "--store", "alice-store").stdout)
    entries = logged(server, result["request"])
    assert {entry["client"] for entry in entries} == {"alice"}
    assert [entry["message"] for entry in entries if "served" in entry["message"]] == ["served 1 inferences"]
    assert {entry["program"] for entry in entries} == {"pi-server"}
    prepared = client("alice", "prepare", "--count", "1", "--store", "alice-store").stdout
    (request,) = re.findall(r"request (\w{16})\n", prepared)
    assert "prepared 1 inferences" in [entry["message"] for entry in logged(server, request)]


def test_a_hello_that_is_refused_is_logged_with_the_request_that_the_client_prints(client: Any, server: Any) -> None:
    for asked in (("--reveal", "logits"), ("--backend", "gc")):
        (request,) = re.findall(r"\(request (\w{16})\)", client("client", "infer", "a.png", *asked, code=ANY).stderr)
        (entry,) = logged(server, request)
        assert entry["message"].startswith("session ends: ")


def test_a_revoked_client_is_refused_at_its_next_hello_without_a_restart(
    register: Any, client: Any, server: Any
) -> None:
    clients = register("bob")
    client("bob", "prepare", "--count", "1", "--store", "bob-store")
    clients.revoke("bob")
    refused = client("bob", "infer", "a.png", "--store", "bob-store", code=13)
    found = re.fullmatch(r"error: client bob: its certificate is revoked \(request (\w{16})\)\n", refused.stderr)
    assert found
    (request,) = found.groups()
    (entry,) = logged(server, request)
    assert entry["client"] == "bob"
    assert entry["message"].startswith("session ends: ClientRefusedError")


def test_a_revoked_client_gets_no_further_in_the_session_that_it_has(register: Any, folder: Path, server: Any) -> None:
    clients = register("frank")
    with gmw_session(server[1], folder / "frank-store", folder / "frank") as session:
        session.prepare(1)
        clients.revoke("frank")
        with pytest.raises(ClientRefusedError, match="frank: its certificate is revoked"):
            session.infer(np.zeros((1, 1, 8, 8), np.float32))


def test_a_client_that_is_revoked_while_it_prepares_gets_no_further(register: Any, folder: Path, server: Any) -> None:
    clients = register("heidi")
    with gmw_session(server[1], folder / "heidi-store", folder / "heidi") as session, ThreadPoolExecutor(1) as aside:
        preparing = aside.submit(session.prepare, 1 << 16)
        server[0].wait_log('preparing 65536 inferences.*"client": "heidi"')
        clients.revoke("heidi")
        with pytest.raises(ClientRefusedError, match="heidi: its certificate is revoked"):
            preparing.result(20)


def test_sessions_of_a_client_are_limited_and_others_have_places(
    register: Any, client: Any, folder: Path, server: Any
) -> None:
    clients = register("grace", sessions=1)
    with gmw_session(server[1], folder / "grace-1", folder / "grace"):
        refused = client("grace", "infer", "a.png", "--store", "grace-2", "--timeout", "0.5", code=55)
        assert "client grace has its 1 sessions already" in refused.stderr
        client("client", "infer", "a.png", "--store", "shared-store")
    clients.limit("grace", {"sessions": 0})
    assert "at most 0 sessions at once" in client("grace", "infer", "a.png", code=14).stderr


def test_a_certificate_that_nobody_registered_is_refused(folder: Path, link_keys: Any, client: Any) -> None:
    issue_client(link_keys / "authority", "mallory", folder / "mallory")
    assert "expected a certificate that is registered" in client("mallory", "infer", "a.png", code=13).stderr


def test_limits_of_a_day_and_of_room_are_the_certificates_whatever_id_is_drawn(
    register: Any, client: Any, folder: Path
) -> None:
    clients = register("carol", preparations=2, inferences=1)
    client("carol", "prepare", "--count", "2", "--store", "carol-1")
    assert "at most 2 preparations a day" in client("carol", "infer", "a.png", "--store", "carol-2", code=14).stderr
    client("carol", "infer", "a.png", "--store", "carol-1")
    assert "at most 1 inferences a day" in client("carol", "infer", "a.png", "--store", "carol-1", code=14).stderr
    assert len(uses_in(folder / "carol-1" / "client")) == 1  # the refusal came at the hello: nothing was marked used
    assert "1 ready, nothing to prepare" in client("carol", "prepare", "--count", "1", "--store", "carol-1").stdout
    clients.limit("carol", {"inferences": 2})
    refused = client("carol", "infer", "a.png", "b.png", "--store", "carol-1", code=14)
    assert "expected at most 1, which are left of today (UTC), found 2 asked for" in refused.stderr
    assert len(uses_in(folder / "carol-1" / "client")) == 1
    clients.limit("carol", {"preparations": 1000, "inferences": 1000, "bytes": 60_000})
    client("carol", "infer", "a.png", "--store", "carol-3")
    refused = client("carol", "prepare", "--count", "9", "--store", "carol-4", code=14)
    assert "material of client carol: expected at most 60000 bytes" in refused.stderr


def test_a_stolen_id_does_not_reach_the_material_of_its_certificate(register: Any, client: Any, folder: Path) -> None:
    register("dave")
    register("eve")
    client("dave", "prepare", "--count", "1", "--store", "dave-store")
    shutil.copytree(folder / "dave-store", folder / "eve-store")
    kept = set((folder / "server").rglob("*.ready"))
    result = json.loads(client("eve", "infer", "a.png", "--json", "--store", "eve-store").stdout)
    assert result["prepared_now"]
    assert kept <= set((folder / "server").rglob("*.ready"))
    assert not json.loads(client("dave", "infer", "a.png", "--json", "--store", "dave-store").stdout)["prepared_now"]
    assert uses_in(folder / "dave-store" / "client")


def test_an_index_that_is_made_anew_has_the_servers_limits(client: Any, folder: Path) -> None:
    client("client", "infer", "a.png", "--store", "anew")
    for path in (folder / "server" / "server").glob("index.sqlite3*"):
        path.unlink()
    client("client", "infer", "a.png", "--store", "anew")
    assert Index(folder / "server" / "server").setting("room", 0.0) == 64e9
