"""The register of clients: names, certificates, limits a day, revocation."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pi_server.cli import main
from pi_server.clients import SHARED, Clients, open_register
from pi_server.worker import bound_to
from pi_system.errors import ClientRefusedError, ConfigError, LimitError, StorageError
from pi_system.rpc.keys import issue_client, write_keys
from pi_system.rpc.session_config import Hello, SessionConfig
from pi_system.rpc.tls import Caller, Identity, caller_of, client_name, fingerprint_of

ALICE = Caller(role="client", name="alice", fingerprint="aa" * 32)


@pytest.fixture
def clients(tmp_path: Path) -> Any:
    found = Clients(tmp_path, create=True)
    found.check_readable()
    return found


def test_who_is_not_registered_is_refused_and_who_has_no_name_is_shared(clients: Any) -> None:
    with pytest.raises(ClientRefusedError, match="alice: expected a certificate that is registered"):
        clients.admit(ALICE)
    clients.add("alice", ALICE.fingerprint, {})
    assert clients.admit(ALICE).name == "alice"
    with pytest.raises(ClientRefusedError):
        clients.admit(Caller(role="client", name="alice", fingerprint="bb" * 32))
    assert clients.admit(None).name == clients.admit(Caller(role="client")).name == SHARED


def test_revocation_holds_at_once_in_every_process_that_has_the_register_open(clients: Any, tmp_path: Path) -> None:
    clients.add("alice", ALICE.fingerprint, {})
    other = Clients(tmp_path)
    other.admit(ALICE)
    clients.revoke("alice")
    with pytest.raises(ClientRefusedError, match="revoked"):
        other.admit(ALICE)
    clients.add("alice", "bb" * 32, {})
    with pytest.raises(ClientRefusedError):
        other.admit(ALICE)
    clients.revoke(SHARED)
    with pytest.raises(ClientRefusedError, match="shared: its certificate is revoked"):
        other.admit(None)


@pytest.mark.parametrize("emptied", [False, True])
def test_a_register_that_is_lost_serves_nobody(clients: Any, tmp_path: Path, emptied: bool) -> None:
    """A new one would serve whoever was revoked, without limits."""
    served = Clients(tmp_path)
    clients.revoke(SHARED)
    for path in tmp_path.glob("clients.sqlite3*"):
        path.unlink()
    if emptied:
        (tmp_path / "clients.sqlite3").touch()
    for register, caller in ((served, None), (Clients(tmp_path), ALICE)):
        with pytest.raises(StorageError, match=r"clients\.sqlite3: expected the one that there was, found none"):
            register.admit(caller)
    clients.add("alice", ALICE.fingerprint, {})  # whoever registers a client has the register made
    assert served.admit(ALICE).name == "alice"


def test_a_server_says_that_the_register_beside_its_material_is_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_register(tmp_path)
    assert not caplog.text
    (tmp_path / "server").mkdir()
    open_register(tmp_path)
    assert not caplog.text
    (tmp_path / "clients.sqlite3").unlink()
    open_register(tmp_path)
    assert "expected a register beside the material, found none" in caplog.text


def test_who_was_revoked_may_be_served_again_with_the_limits_that_it_had(clients: Any) -> None:
    clients.add("alice", ALICE.fingerprint, {"inferences": 5})
    for name, caller in (("alice", ALICE), (SHARED, None)):
        clients.revoke(name)
        clients.restore(name)
        assert clients.admit(caller).name == name
        with pytest.raises(ConfigError, match=f"client {name}: expected one that is revoked"):
            clients.restore(name)
    assert clients.admit(ALICE).limits == {"inferences": 5}
    with pytest.raises(ConfigError, match="bob: expected one that is revoked"):
        clients.restore("bob")


def test_limits_are_a_days_and_a_clients(clients: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients(tmp_path, {"inferences": 2})
    clients.add("alice", ALICE.fingerprint, {"preparations": 3})
    alice, shared = clients.admit(ALICE), clients.admit(None)
    clients.spend(alice, "preparations", 3)
    with pytest.raises(LimitError, match=r"alice: expected at most 3 preparations a day \(UTC\), found 3 and 1 more"):
        clients.spend(alice, "preparations", 1)
    clients.spend(alice, "inferences", 2)
    with pytest.raises(LimitError, match="at most 2 inferences"):
        clients.spend(alice, "inferences", 1)
    clients.spend(shared, "preparations", 1000)
    assert [(found[0].name, *found[1:]) for found in clients.all()] == [("alice", 3, 2)]
    monkeypatch.setattr("pi_server.clients._today", lambda: 10**6)
    clients.spend(alice, "preparations", 3)


@pytest.mark.parametrize("name", ["", "Alice", "a.b", "-a", "a" * 64, "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected a name"):
        client_name(name)


def test_material_is_bound_to_the_certificate_and_not_to_the_id_alone(clients: Any) -> None:
    hello = Hello(config=SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16)))
    for name in ("alice", "bob"):
        clients.add(name, name, {})
    ids = {bound_to(found, hello).config.client_id for found, *_ in clients.all()}
    assert len(ids | {bytes(16)}) == 3
    assert bound_to(clients.admit(None), hello) == hello


def run(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(main, ["clients", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_commands_issue_register_limit_list_and_revoke(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys")
    store = ("--store", tmp_path / "store")
    issued = ("--authority", tmp_path / "keys" / "authority")
    run("add", "alice", tmp_path / "alice", *issued, "--inferences", 5, *store)
    Identity.load(tmp_path / "alice")
    pem = (tmp_path / "alice" / "certificate.pem").read_bytes()
    run("limit", "alice", "--bytes", 7, *store)
    assert run("list", *store) == (
        "alice: 0 prepared and 0 inferences today, at most 5 inferences, at most 7 bytes, "
        f"certificate {fingerprint_of(pem)[:16]}\n"
    )
    run("limit", "alice", "--sessions", 3, "--unset", "inferences", "--unset", "bytes", *store)
    assert "today, at most 3 sessions, certificate" in run("list", *store)
    assert "found both" in run("limit", "alice", "--sessions", 3, "--unset", "sessions", *store, code=2)
    assert "revoke it first" in run("add", "alice", tmp_path / "again", *issued, *store, code=10)
    assert not (tmp_path / "again").exists()
    run("revoke", "alice", *store)
    assert run("list", *store).startswith("alice: revoked 20")
    assert run("restore", "alice", *store) == "alice: served again\n"
    assert "expected one that is revoked, found it served" in run("restore", "alice", *store, code=10)
    assert run("list", *store).startswith("alice: 0 prepared")
    run("revoke", "alice", *store)
    assert "expected one that is revoked, found none of that name" in run("restore", "carol", *store, code=10)
    for command in (("revoke", SHARED), ("restore", SHARED), ("limit", SHARED, "--bytes", 1)):
        run(*command, *store)
    run("add", "alice", "--certificate", tmp_path / "alice" / "certificate.pem", "--bytes", 9, *store)
    assert run("list", *store).startswith("alice: 0 prepared and 0 inferences today, at most 3 sessions, at most 9 byt")
    assert "found one of alice" in run(
        "add", "bob", "--certificate", tmp_path / "alice" / "certificate.pem", *store, code=10
    )
    assert "found one of no name" in run(
        "add", "bob", "--certificate", tmp_path / "keys" / "client" / "certificate.pem", *store, code=10
    )
    for wrong in (("add", "bob"), ("add", "bob", tmp_path / "bob"), ("add", SHARED, tmp_path / "shared", *issued)):
        run(*wrong, *store, code=10)
    assert "found none of that name" in run("revoke", "carol", *store, code=10)


def test_a_certificate_is_issued_where_the_server_is_not_and_registered_where_the_authority_is_not(
    tmp_path: Path,
) -> None:
    write_keys(tmp_path / "keys")
    said = run("issue", "alice", tmp_path / "alice", "--authority", tmp_path / "keys" / "authority")
    pem = tmp_path / "alice" / "certificate.pem"
    assert said.endswith(f"clients add alice --certificate {pem}\n")
    assert not (tmp_path / "store").exists()
    (tmp_path / "keys" / "authority" / "key.pem").unlink()
    done = CliRunner().invoke(
        main,
        ["clients", "add", "alice", "--certificate", "-", "--store", str(tmp_path / "store")],
        input=pem.read_bytes(),
    )
    assert done.output == f"alice: registered in {tmp_path / 'store'}\n"
    caller = Caller(role="client", name="alice", fingerprint=fingerprint_of(pem.read_bytes()))
    assert Clients(tmp_path / "store").admit(caller).name == "alice"


def test_without_the_authoritys_key_nothing_is_issued(link_keys: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="authority: expected its key"):
        issue_client(
            link_keys / "client", "alice", tmp_path / "alice"
        )  # authority.pem is no certificate.pem of its key
    assert not (tmp_path / "alice").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="No such file"):
        issue_client(tmp_path / "empty", "alice", tmp_path / "alice")


def test_a_name_of_another_role_is_none() -> None:
    assert caller_of({"x509_subject_alternative_name": [b"pi-server", b"alice.pi-client"]}) == Caller(role="server")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["clients", "limit", "alice", "--store", "{folder}"], 2, "expected at least one of --sessions"),
        (["clients", "limit", "shared", "--bytes", str(1 << 63), "--store", "{folder}"], 2, "not in the range"),
        (["serve", "--artifact", "x", "--store-bytes", str(1 << 63)], 2, "not in the range"),
        (["clients", "list", "--store", "{folder}/a-file"], 11, "expected the store of a server"),
        (["clients", "revoke", "shared", "--store", "{folder}/another"], 11, "expected the store of a server"),
        (["clients", "limit", "shared", "--bytes", "1", "--store", "{folder}/another"], 11, "expected the store"),
        (["clients", "restore", "shared", "--store", "{folder}/a-file/below"], 11, "expected the store of a server"),
        (
            [
                "serve",
                "--artifact",
                "builtin:cifar10",
                "--listen",
                "127.0.0.1:0",
                "--insecure",
                "--store",
                "{folder}/a-file",
            ],
            60,
            "error: storage: ",
        ),
    ],
)
def test_a_folder_or_number_that_cannot_be_is_one_line_and_a_code(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a-file").touch()
    done = CliRunner().invoke(main, [argument.format(folder=tmp_path) for argument in arguments])
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert code == 2 or done.output.count("\n") == 1
