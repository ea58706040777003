"""A server whose half of a profile is not what it promised: a typed error at the client, the session is dead."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import TOY
from streams import in_thread, served
from tiny_artifact import tiny_artifact
from toy_sessions import CONFIG, PICTURE

from pi_system._proto.v1.control_pb2 import Done, ServerEnvelope
from pi_system.errors import FrameTooLargeError, RemoteProtocolError
from pi_system.rpc import server_session
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.dealer_link import DEALER_METHOD
from pi_system.rpc.dealer_service import DealerService
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.phase_profile import MAX_PROFILE_BYTES
from pi_system.rpc.server_session import SessionHost, serve_session
from pi_system.rpc.session_config import SESSION_METHOD

HONEST = server_session.half_to_bytes  # type: ignore[attr-defined]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Any]:
    """A client's session with a server in this process, whose profiles a test may falsify."""
    service = DealerService(patience_s=10.0, backends=TOY)
    with served({DEALER_METHOD: service.take}, timeout_s=10.0) as dealer:
        host = SessionHost(
            artifact=tiny_artifact(), store_dir=tmp_path, dealer=dealer, allowed=("toy",), profile=True, backends=TOY
        )
        with served({SESSION_METHOD: in_thread(lambda stream: serve_session(stream, host))}, timeout_s=10.0) as server:
            endpoint = Endpoint(server=server, dealer=dealer, store_dir=Path("unused"), backends=TOY)
            opened = ClientSession(endpoint, replace(CONFIG, profile=True))
            opened.prepare(2)
            yield opened
            opened.close()


def test_the_honest_half_arrives(session: Any) -> None:
    session.infer(PICTURE)
    assert session.server_profiles
    assert {phase: profile.server is not None for phase, profile in session.profiles.items()} == {
        "offline": True,
        "online": True,
    }


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        pytest.param(b"", FrameTooLargeError, id="promised but not sent"),
        pytest.param(bytes(MAX_PROFILE_BYTES + 1), FrameTooLargeError, id="too large"),
        pytest.param(b"\xff" * 100, RemoteProtocolError, id="garbage"),
    ],
)
def test_a_false_half_ends_the_session(
    session: Any, monkeypatch: pytest.MonkeyPatch, half: bytes, expected: Any
) -> None:
    monkeypatch.setattr(server_session, "half_to_bytes", lambda *_, **__: half)
    with pytest.raises(expected, match="profile: expected"):
        session.infer(PICTURE)
    with pytest.raises(expected):  # the session is dead of it
        session.infer(PICTURE)


def test_another_size_than_announced_ends_the_session(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true_write = server_session._Session._write
    announced = ServerEnvelope(done=Done(profile_bytes=77))
    monkeypatch.setattr(
        server_session._Session, "_write", lambda self, envelope, half: true_write(self, announced, half)
    )
    with pytest.raises(RemoteProtocolError, match="expected 77 bytes of data"):
        session.infer(PICTURE)
