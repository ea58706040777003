"""A client that meets a server of another protocol version, or another model than the server says, goes no further."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import TOY
from streams import in_thread
from tiny_artifact import tiny_artifact
from toy_sessions import CONFIG

from pi_system._proto.v1.control_pb2 import ServerEnvelope, ServerHello
from pi_system.artifact.store import public_to_bytes
from pi_system.errors import ArtifactDigestError, ConfigError, RemoteProtocolError
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.envelope import read_client, write
from pi_system.rpc.frames import DATA
from pi_system.rpc.session_config import SESSION_METHOD
from pi_system.version import PROTOCOL_VERSION


@pytest.fixture
def meet(serve: Callable[..., Any]) -> Any:
    """Opens a session with a server that greets with the given fields."""

    def open_session(**fields: Any) -> Any:
        model = public_to_bytes(tiny_artifact())
        hello: dict[str, Any] = {
            "protocol_version": PROTOCOL_VERSION,
            "artifact_digest": tiny_artifact().public.digest,
            "public_model_bytes": len(model),
            "reveal": "label",
            "backend": CONFIG.backend,
        }

        def greet(stream: Any) -> None:
            read_client(stream, "hello")
            write(stream, ServerEnvelope(hello=ServerHello(**(hello | fields))))
            stream.write(model, DATA)

        address = serve({SESSION_METHOD: in_thread(greet)}, timeout_s=10.0)
        endpoint = Endpoint(server=address, dealer=None, store_dir=Path("unused"), backends=TOY)
        return ClientSession(endpoint, CONFIG)

    return open_session


@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION + 1])
def test_a_server_of_another_version_is_left(meet: Any, version: int) -> None:
    with pytest.raises(ConfigError, match="protocol version"):
        meet(protocol_version=version)


def test_a_model_that_is_not_the_announced_one_is_refused(meet: Any) -> None:
    with pytest.raises(ArtifactDigestError):
        meet(artifact_digest="0" * 64)


def test_a_server_that_runs_another_backend_is_left(meet: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="backend: expected 'toy', found 'crypten' granted"):
        meet(backend="crypten")


def test_the_same_server_without_a_lie_is_taken(meet: Any) -> None:
    with meet() as session:
        assert session.public.public.digest == tiny_artifact().public.digest


@pytest.mark.parametrize("granted", ["", "everything"])
def test_a_server_that_grants_what_does_not_exist_is_left(meet: Any, granted: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="granted"):
        meet(reveal=granted)
