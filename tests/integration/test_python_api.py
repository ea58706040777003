"""pi.Server and pi.Client: a real server, clients over TLS, errors of both sides as typed exceptions."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlp_artifact import mlp_artifact
from PIL import Image

import pi_system as pi
from pi_system.errors import (
    ArtifactDigestError,
    ArtifactError,
    ConfigError,
    InputError,
    LocalProtocolError,
    PeerUnavailableError,
    RevealError,
)

PICTURES = np.random.default_rng(1).random((5, 1, 8, 8), np.float32)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, link_keys: Any) -> Any:
    folder = tmp_path_factory.mktemp("served")
    model = pi.Model(mlp_artifact("relu"))
    model.save(folder / "model")
    with pi.Server(folder / "model", keys=link_keys / "server", reveal="scores", store=folder / "server") as server:
        yield server, model, folder


def test_prepare_then_predict(served: Any, link_keys: Any) -> None:
    server, model, folder = served
    with pi.Client(server.address, keys=link_keys / "client", store=folder / "client") as client:
        assert client.prepare(3) == client.available() == 3
        taken = client.served()
        assert taken.choice is not None
        assert taken.backend == taken.choice.backend in taken.choice.as_json()["predicted"]
        found: Any = client.predict(PICTURES[:2])
        assert client.available() == 1
        assert found.labels == model.simulate(PICTURES[:2]).labels
        assert (found.cost.prepared_now, found.cost.offline_count) == (False, 3)
        more: Any = client.predict(PICTURES[:4])
        assert more.cost.prepared_now
        Image.fromarray(np.rint(PICTURES[0, 0] * 255).astype(np.uint8)).save(folder / "a.png")
        assert client.predict(folder / "a.png").label == model.simulate(folder / "a.png").label

    async def both() -> Any:
        with pi.Client(server.address, keys=link_keys / "client", store=folder / "client") as again:
            return await asyncio.gather(*(again.apredict(PICTURES[index]) for index in range(3)))

    assert [one.label for one in asyncio.run(both())] == list(model.simulate(PICTURES[:3]).labels)


def test_a_session_that_ended_is_replaced(served: Any, link_keys: Any) -> None:
    server, _, folder = served
    with pi.Client(server.address, keys=link_keys / "client", store=folder / "again", backend="gc") as client:
        first = client.predict(PICTURES[0])
        session = client._open
        assert session is not None
        session.close()
        assert not session.alive
        assert client.predict(PICTURES[0]).label == first.label
        assert client._open is not session
        with pytest.raises(InputError):
            client.predict(np.ones((3, 3)))
        assert client._open is not None


def test_many_questions_at_once_of_one_client(served: Any, link_keys: Any) -> None:
    server, model, folder = served

    async def ask() -> Any:
        with pi.Client(server.address, keys=link_keys / "client", store=folder / "at once") as client:
            asked = [client.apredict(PICTURES[index % 5]) for index in range(12)]
            wrong = [client.apredict(np.ones(3)) for _ in range(3)]
            return await asyncio.gather(*asked, *wrong, return_exceptions=True)

    found = asyncio.run(ask())
    assert [one.label for one in found[:12]] == [model.simulate(PICTURES[index % 5]).label for index in range(12)]
    assert all(type(one) is InputError for one in found[12:])


def test_a_client_asks_a_server_that_came_back(tmp_path: Path) -> None:
    model = pi.Model(mlp_artifact("relu"))
    model.save(tmp_path / "model")
    server = pi.Server(tmp_path / "model", insecure=True, store=tmp_path / "server", backends="gmw").start()
    with pytest.raises(LocalProtocolError, match="was started before"):
        server.start()
    address = server.address
    with pi.Client(address, insecure=True, store=tmp_path / "client", connect_timeout_s=1.0) as client:
        assert client.prepare(2) == 2
        server.stop()
        assert server.address == ""
        with pytest.raises(PeerUnavailableError) as caught:
            client.predict(PICTURES[0])
        assert "\n" not in str(caught.value)
        with pi.Server(tmp_path / "model", listen=address, insecure=True, store=tmp_path / "server") as again:
            assert client.available() == 2
            assert client.predict(PICTURES[0]).label == model.simulate(PICTURES[0]).label
            assert again._process is not None
            again._process.kill()
            with pytest.raises(pi.PiError, match="ended early"):
                again.wait()
            assert again.address == ""
    server.stop()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"insecure": True}, PeerUnavailableError),
        ({}, ConfigError),
        ({"reveal": "logits"}, RevealError),
        ({"digest": "00"}, ArtifactDigestError),
        ({"keys": "all"}, ConfigError),
        ({"keys": "nowhere"}, ConfigError),
        ({"backend": "crypten"}, ConfigError),
        ({"backend": "none"}, ConfigError),
        ({"server": "nowhere"}, ConfigError),
        ({"artifact": "builtin:cifar10"}, ArtifactDigestError),
    ],
)
def test_errors_of_clients_are_typed(served: Any, link_keys: Any, settings: dict[str, Any], kind: Any) -> None:
    server, _, folder = served
    keys = {} if settings in ({}, {"insecure": True}) else {"keys": link_keys / "client"}
    if "keys" in settings:
        settings = {"keys": link_keys if settings["keys"] == "all" else "nowhere"}
    given = {"server": server.address, "store": folder / "errors", "connect_timeout_s": 1.0} | keys | settings
    with pytest.raises(kind) as caught, pi.Client(**given) as client:
        client.predict(PICTURES[0])
    assert "\n" not in str(caught.value)
    assert ("take one of its folders server, client, dealer" in str(caught.value)) == (given.get("keys") == link_keys)


def test_errors_of_a_server_are_those_of_the_program(tmp_path: Path) -> None:
    server = pi.Server(tmp_path / "nothing", insecure=True, store=tmp_path / "store")
    with pytest.raises(ArtifactError, match="cannot be read"), server:
        pass
    pi.Model(mlp_artifact("relu")).save(tmp_path / "model")
    with pytest.raises(ConfigError, match="expected --keys"), pi.Server(tmp_path / "model"):
        pass
    with pytest.raises(ConfigError, match="server: "), pi.Server(tmp_path / "model", max_sessions=0):
        pass
