"""The server process takes sessions from clients alone, whatever other certificates the authority has signed."""

import pytest
from processes import toy_server
from tiny_artifact import tiny_artifact

from pi_system.artifact import save
from pi_system.errors import ConfigError, PiError
from pi_system.rpc.server_session import SESSION_METHOD
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import dial


@pytest.fixture(scope="module")
def address(tmp_path_factory, link_keys):
    folder = tmp_path_factory.mktemp("model") / "artifact"
    save(tiny_artifact(), folder)
    with toy_server(folder, "127.0.0.1:1", keys=link_keys / "server") as (_, listening):
        yield listening


def connect(address, keys):
    return dial(
        address, SESSION_METHOD, connect_timeout_s=20.0, timeout_s=10.0, peer="server", identity=Identity.load(keys)
    )


@pytest.mark.parametrize("role", ["server", "dealer"])
def test_another_role_gets_no_session(address, link_keys, role):
    with pytest.raises(ConfigError, match=f"expected one of the client, found one of the {role}"):
        connect(address, link_keys / role).stream.read_control()


def test_a_client_gets_one(address, link_keys):
    connection = connect(address, link_keys / "client")
    connection.abort(PiError("the test is over"))
