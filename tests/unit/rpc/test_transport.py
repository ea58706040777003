"""Dialling and serving over real gRPC, both ends in this process."""

import queue
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from pi_system import errors
from pi_system.errors import (
    ConfigError,
    DealerUnavailableError,
    FrameTooLargeError,
    PeerUnavailableError,
    PiError,
    RemoteProtocolError,
)
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.frames import DATA, FRAME_BYTES
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.status import MESSAGE_CHARS, error_to_status
from pi_system.rpc.transport import check_address, dial, unary

PI_ERRORS = [kind for name, kind in errors.ERRORS.items() if name not in {"BudgetError", "MissingExtraError"}]


def connect(address: str, method: str = "Session", **changes: Any) -> Any:
    options: dict[str, Any] = {"connect_timeout_s": 5.0, "timeout_s": 5.0, "peer": "server"}
    return dial(address, method, **(options | changes))


def raiser(error: Any) -> Any:
    def answer(_request: Any) -> None:
        raise error

    return answer


def test_stream_carries_messages_both_ways_and_ends_cleanly(serve: Callable[..., Any]) -> None:
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    connection = connect(serve({"Session": taken.put}))
    client = GrpcChannel(connection.stream)
    client.send(b"ping")
    server = GrpcChannel(taken.get(timeout=5))
    assert bytes(server.recv(4)) == b"ping"
    server.send(bytes(3 * FRAME_BYTES))
    server.close()
    assert client.recv(3 * FRAME_BYTES).nbytes == 3 * FRAME_BYTES
    with pytest.raises(PeerUnavailableError, match="closed"):
        client.recv(1)
    connection.close()
    connection.close()


@pytest.mark.parametrize("kind", PI_ERRORS)
def test_every_error_crosses_as_itself(serve: Callable[..., Any], kind: Any) -> None:
    address = serve({"Session": lambda stream: stream.fail(kind("what happened"))}, {"Ask": raiser(kind("what"))})
    connection = connect(address)
    with pytest.raises(kind, match="what happened") as caught:
        connection.stream.read_data(1)
    assert type(caught.value) is kind
    connection.close()
    with pytest.raises(kind, match="what"):
        unary(address, "Ask", b"", timeout_s=0.5, peer="server")


def test_foreign_exception_tells_the_client_nothing(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def take(_stream: Any) -> None:
        raise ZeroDivisionError("secret")

    with pytest.raises(errors.InvariantError) as caught:
        connect(serve({"Session": take}))
    assert "secret" not in str(caught.value)
    assert "could not be served" in caplog.text


def test_busy_server_is_tried_again(serve: Callable[..., Any]) -> None:
    refusals = [PeerUnavailableError("busy")] * 3

    def take(stream: Any) -> None:
        if refusals:
            raise refusals.pop()
        stream.write(b"here", DATA)

    connection = connect(serve({"Session": take}))
    assert bytes(connection.stream.read_data(4)) == b"here"
    connection.abort(PiError("the test is over"))


def test_server_that_does_not_open_the_stream_is_no_peer(serve: Callable[..., Any]) -> None:
    def take(stream: Any) -> None:
        stream.outgoing = lambda: iter([b"hello\x02"])

    with pytest.raises(RemoteProtocolError, match="opened stream"):
        connect(serve({"Session": take}))


def test_message_of_an_error_is_made_printable() -> None:
    _, message, name = error_to_status(ConfigError("a\x1b[31m\nb" + "x" * 1000))
    assert name == "ConfigError"
    assert message.startswith("a?[31m?b")
    assert len(message) == MESSAGE_CHARS
    for foreign in (ValueError("secret"), errors.BudgetError(10, "stage 4", 5)):  # a reduction has no peer
        assert error_to_status(foreign)[::2] == (grpc.StatusCode.INTERNAL, "InvariantError")


def test_server_frame_over_our_limit_and_over_grpcs(serve: Callable[..., Any]) -> None:
    for size in (FRAME_BYTES + 2, 4 * FRAME_BYTES):

        def take(stream: Any, size: Any = size) -> None:
            stream.outgoing = lambda: iter([bytes(size)])  # a server that does not cut its messages

        with pytest.raises(FrameTooLargeError):
            connect(serve({"Session": take}))


def test_client_that_leaves_is_noticed_by_the_server(serve: Callable[..., Any]) -> None:
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    connection = connect(serve({"Session": taken.put}))
    connection.stream.write(b"here", DATA)
    stream = taken.get(timeout=5)
    assert bytes(stream.read_data(4)) == b"here"
    connection.abort(PiError("gone"))
    with pytest.raises(PeerUnavailableError):
        stream.read_data(1)
    with pytest.raises(PiError, match="gone"):
        connection.stream.read_data(1)


def test_unreachable_address_raises_the_error_asked_for() -> None:
    with pytest.raises(PeerUnavailableError, match=r"nothing answered within 0\.2 s"):
        connect("127.0.0.1:9", connect_timeout_s=0.2)
    with pytest.raises(DealerUnavailableError):
        connect("127.0.0.1:9", connect_timeout_s=0.2, gone=DealerUnavailableError)


def test_other_services_are_no_peer(serve: Callable[..., Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="UNIMPLEMENTED"):
        connect(serve(), method="Nothing")


def test_port_in_use_is_a_config_error(serve: Callable[..., Any]) -> None:
    address = serve()
    with pytest.raises(ConfigError, match="listen"):
        serve_streams(address, {}, {}, timeout_s=1.0, max_streams=1)


@pytest.mark.parametrize(
    "address",
    ["", "localhost", ":7100", "host:", "host:http", "host:65536", "host:\u00b2", "host:\u0661", "host:" + 5000 * "9"],
)
def test_bad_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        check_address(address)
