"""What a session is about: what crosses, what is refused, what a server does not offer whatever it could do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streams import stream_pair
from tiny_artifact import tiny_artifact

from pi_system._proto.v1.control_pb2 import Bye, ClientEnvelope, Ready, ServerEnvelope
from pi_system.backends.registry import AUTO, AUTO_BACKENDS, AUTO_DEALT, BACKENDS, SERVED_BY_DEFAULT, find_backend
from pi_system.errors import ArtifactDigestError, ConfigError, LocalProtocolError, RemoteProtocolError
from pi_system.program.reveal import REVEALS, Reveal
from pi_system.rpc.envelope import read_client, read_server, write
from pi_system.rpc.server_session import SessionHost
from pi_system.rpc.session_config import (
    Hello,
    SessionConfig,
    check_granted,
    check_version,
    granted,
    hello_from_proto,
    hello_to_proto,
)
from pi_system.version import PROTOCOL_VERSION

CONFIG = SessionConfig(
    backend="fss",
    artifact_digest="ab" * 32,
    client_id=bytes(range(16)),
    reveal="scores",
    insecure_provider=True,
)


def test_configuration_survives_the_wire() -> None:
    hello = Hello(config=CONFIG, prepares=True, ticket="0f" * 16)
    assert hello_from_proto(hello_to_proto(hello)) == hello


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", b""),
        ("reveal", "all"),
        ("reveal", "argmax"),
        ("ticket", "0" * 31),
        ("ticket", "F" * 32),
        ("protocol_version", 99),
    ],
)
def test_bad_field_of_a_peer_is_refused(field: str, value: bytes | int | str) -> None:
    hello = hello_to_proto(Hello(config=CONFIG))
    setattr(hello, field, value)
    with pytest.raises(ConfigError):
        hello_from_proto(hello)


def test_what_is_revealed_is_known_once_the_server_has_answered() -> None:
    assert CONFIG.revealed == "scores"
    with pytest.raises(LocalProtocolError, match="the server's answer"):
        _ = replace(CONFIG, reveal="").revealed


@pytest.mark.parametrize(("asked", "found"), [("", ""), ("", "argmax"), ("label", "logits"), ("scores", "label")])
def test_a_server_grants_what_was_asked_for(asked: Any, found: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="reveal: expected"):
        granted(replace(CONFIG, reveal=asked), found)


@pytest.mark.parametrize("found", REVEALS)
def test_a_client_that_leaves_it_open_takes_any_policy(found: Reveal) -> None:
    assert granted(replace(CONFIG, reveal=""), found) == found
    assert granted(replace(CONFIG, reveal=found), found) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [("gmw", "table"), ("gmw", "auto"), ("gmw", ""), (AUTO, "fss"), (AUTO, "crypten"), (AUTO, "gmw"), (AUTO, AUTO)],
)
def test_a_server_grants_the_backend_that_was_asked_for_and_chooses_none(asked: str, found: str) -> None:
    with pytest.raises(RemoteProtocolError, match=rf"backend: expected '(gmw)?', found '{found}' granted"):
        check_granted(replace(CONFIG, backend=asked), found)


def test_the_backend_that_was_asked_for_is_granted() -> None:
    check_granted(CONFIG, "fss")
    check_granted(replace(CONFIG, backend=AUTO), "")


def test_version_is_compared() -> None:
    check_version(PROTOCOL_VERSION)
    with pytest.raises(ConfigError, match=f"expected {PROTOCOL_VERSION}, found 0"):
        check_version(0)


def test_envelopes_must_hold_what_is_expected() -> None:
    left, right = stream_pair()
    write(left, ClientEnvelope(bye=Bye()))
    assert read_client(right, "infer", "bye").WhichOneof("message") == "bye"
    write(left, ServerEnvelope(ready=Ready()))
    with pytest.raises(RemoteProtocolError, match="expected the message done, found ready"):
        read_server(right, "done")
    write(left, ClientEnvelope())
    with pytest.raises(RemoteProtocolError, match="found None"):
        read_client(right, "bye")


def test_registered_backends_are_complete_and_others_are_refused() -> None:
    assert {*AUTO_BACKENDS, *AUTO_DEALT} == set(SERVED_BY_DEFAULT) < set(BACKENDS)
    assert not any(find_backend(name).DEALT for name in AUTO_BACKENDS)
    assert all(find_backend(name).DEALT for name in AUTO_DEALT)
    for name in BACKENDS:
        backend = find_backend(name)
        assert callable(backend.deal)
        assert callable(backend.make_server)
        assert callable(backend.make_client)
        assert isinstance(backend.DURABLE, bool)
    with pytest.raises(ConfigError, match="backend"):
        find_backend("os")


def test_a_backend_whose_library_is_not_installed_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking_backend.py").write_text("import library_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="backend lacking: expected module library_that_nobody_has installed"):
        find_backend("lacking", {"lacking": "lacking_backend"})


HOST = SessionHost(artifact=tiny_artifact(ring_bits=59), store_dir=Path("unused"), dealer=None, allowed=("gmw",))
ASKED = SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16))


def test_what_is_offered_is_taken() -> None:
    HOST.agree(ASKED)
    HOST.agree(replace(ASKED, artifact_digest=HOST.artifact.public.digest))


@pytest.mark.parametrize("backend", ["gc", "fss", "crypten", "none", ""])
def test_a_backend_of_the_package_that_is_not_allowed_is_refused(backend: str) -> None:
    with pytest.raises(ConfigError, match="allows"):
        HOST.agree(replace(ASKED, backend=backend))


def test_an_insecure_provider_takes_both_parties() -> None:
    with pytest.raises(ConfigError, match="insecure-provider"):
        HOST.agree(replace(ASKED, insecure_provider=True))
    replace(HOST, insecure_provider=True).agree(replace(ASKED, insecure_provider=True))


@pytest.mark.parametrize("digest", ["0" * 64, "x"])
def test_another_model_is_refused(digest: str) -> None:
    with pytest.raises(ArtifactDigestError):
        HOST.agree(replace(ASKED, artifact_digest=digest))


@pytest.mark.parametrize("policy", REVEALS)
def test_a_client_may_learn_as_much_as_the_policy_says_and_no_more(policy: Reveal) -> None:
    host = replace(HOST, reveal=policy)
    assert host.agree(ASKED).reveal == policy
    for asked in REVEALS:
        if REVEALS.index(asked) <= REVEALS.index(policy):
            assert host.agree(replace(ASKED, reveal=asked)).reveal == asked
        else:
            with pytest.raises(ConfigError, match=f"at most {policy}"):
                host.agree(replace(ASKED, reveal=asked))


def test_a_server_tells_the_label_unless_told_otherwise() -> None:
    assert HOST.agree(ASKED).reveal == "label"
