"""Who may talk to whom over TLS, on real sockets, both ends in this process."""

import queue
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pi_system.errors import ConfigError, DealerUnavailableError, PeerUnavailableError, PiError
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.keys import write_keys
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.tls import Identity, caller_of, check_plaintext
from pi_system.rpc.transport import client_channel, dial, unary


@pytest.fixture(scope="module")
def identity(link_keys: Path) -> Any:
    return lambda role: Identity.load(link_keys / role)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of another authority that gives the same names."""
    folder = tmp_path_factory.mktemp("stranger")
    write_keys(folder)
    return lambda role: Identity.load(folder / role)


@pytest.fixture
def listen(serve: Any) -> Any:
    """From an identity, and what takes its streams, to the address of a server."""

    def start(identity: Any, take: Any = None) -> Any:
        methods: dict[str, Any] = {"Session": take or queue.SimpleQueue[Any]().put}
        calls: dict[str, Any] = {"Ask": lambda request: request}
        return serve(methods, calls, max_streams=4, identity=identity)

    return start


def connect(address: Any, identity: Any, **changes: Any) -> Any:
    options: dict[str, Any] = {"connect_timeout_s": 30.0, "timeout_s": 5.0, "peer": "server"}
    return dial(address, "Session", identity=identity, **(options | changes))


def raw_client(address: Any, folder: Any, version: Any) -> Any:
    """The TLS version that a client without gRPC agrees on when it offers this one only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "authority.pem")
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        context.wrap_socket(plain, server_hostname="pi-server") as wrapped,
    ):
        return wrapped.version()


def test_stream_and_call_cross_and_the_caller_is_known(listen: Any, identity: Any) -> None:
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    address = listen(identity("server"), taken.put)
    connection = connect(address, identity("client"))
    GrpcChannel(connection.stream).send(b"ping")
    stream = taken.get(timeout=5)
    assert bytes(stream.read_data(4)) == b"ping"
    stream.check_role("client")
    with pytest.raises(ConfigError, match="expected one of the server, found one of the client"):
        stream.check_role("server")
    connection.abort(PiError("the test is over"))
    assert unary(address, "Ask", b"x", timeout_s=5.0, peer="server", identity=identity("dealer")) == b"x"


def test_refusal_by_role_reaches_the_caller(listen: Any, identity: Any) -> None:
    def take(stream: Any) -> None:
        stream.check_role("client")

    with pytest.raises(ConfigError, match="expected one of the client, found one of the dealer"):
        connect(listen(identity("server"), take), identity("dealer"))


@pytest.mark.parametrize("role", ["client", "dealer"])
def test_certificate_of_another_role_is_no_server(listen: Any, identity: Any, role: str) -> None:
    with pytest.raises(ConfigError, match="certificate for its role"):
        connect(listen(identity(role)), identity("client"))


def test_server_of_another_authority_is_refused(listen: Any, identity: Any, stranger: Any) -> None:
    address = listen(stranger("server"))
    with pytest.raises(ConfigError, match="certificate for its role"):
        connect(address, identity("client"))
    with pytest.raises(ConfigError, match="certificate for its role"):
        unary(address, "Ask", b"", timeout_s=30.0, peer="server", identity=identity("client"))


@pytest.mark.parametrize("gone", [PeerUnavailableError, DealerUnavailableError])
def test_client_of_another_authority_is_refused(listen: Any, identity: Any, stranger: Any, gone: Any) -> None:
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    address = listen(identity("server"), taken.put)
    impostor = replace(stranger("client"), authority=identity("client").authority)
    with pytest.raises(gone, match="accepts this end's certificate"):
        connect(address, impostor, gone=gone)
    assert taken.empty()


def test_expired_certificate_is_refused(listen: Any, identity: Any, tmp_path: Path) -> None:
    write_keys(tmp_path, valid_days=0)
    expired = Identity.load(tmp_path / "server")
    with pytest.raises(ConfigError, match="expired"):
        connect(listen(expired), Identity.load(tmp_path / "client"))


def test_plaintext_and_tls_do_not_mix(listen: Any, identity: Any) -> None:
    with pytest.raises(PeerUnavailableError, match="use --keys"):
        connect(listen(identity("server")), None)
    with pytest.raises(ConfigError, match=r"TLS 1\.3"):
        connect(listen(None), identity("client"))


def test_server_takes_tls_13_only(listen: Any, identity: Any, link_keys: Path) -> None:
    address = listen(identity("server"))
    assert raw_client(address, link_keys / "client", ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw_client(address, link_keys / "client", ssl.TLSVersion.TLSv1_2)


def test_client_takes_tls_13_only(identity: Any, link_keys: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(link_keys / "server" / "certificate.pem", link_keys / "server" / "key.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    refused: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def accept(listener: Any) -> None:
        plain, _ = listener.accept()
        with plain, pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            context.wrap_socket(plain, server_side=True)
        refused.put(str(caught.value))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        with pytest.raises(ConfigError, match=r"TLS 1\.3"):
            connect(f"127.0.0.1:{listener.getsockname()[1]}", identity("client"))
        thread.join()
    assert "no shared cipher" in refused.get(timeout=5).replace("_", " ").lower()


def test_keys_that_do_not_fit_cannot_listen(identity: Any) -> None:
    broken = replace(identity("server"), key=identity("client").key)
    with pytest.raises(ConfigError, match="listen"):
        serve_streams("127.0.0.1:0", {}, {}, timeout_s=1.0, max_streams=1, identity=broken)


@pytest.mark.parametrize("address", ["192.0.2.1:7100", "0.0.0.0:7100", "[::]:7100", "server:7100", "localhost.evil:1"])
def test_plaintext_stays_on_this_machine(address: str, identity: Any) -> None:
    for start in (client_channel, lambda a: serve_streams(a, {}, {}, timeout_s=1.0, max_streams=1)):
        with pytest.raises(ConfigError, match="plaintext: expected a loopback address"):
            start(address)
    client_channel(address, identity("client")).close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"])
def test_loopback_is_this_machine(address: str) -> None:
    check_plaintext(address)


def test_certificate_without_a_role_is_no_caller() -> None:
    with pytest.raises(ConfigError, match="found none"):
        caller_of({"x509_subject_alternative_name": [b"example.org"]})
