"""A peer that breaks the session protocol on purpose: refused with a typed error, and the server goes on serving."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from toy_sessions import Toy

from pi_system._proto.v1.control_pb2 import ClientEnvelope, ClientHello, DealerHello, Infer, Prepare
from pi_system.errors import (
    ConfigError,
    CorrelationReusedError,
    FrameTooLargeError,
    PeerUnavailableError,
    RemoteProtocolError,
)
from pi_system.rpc.dealer_link import DEALER_METHOD
from pi_system.rpc.envelope import read_server, write
from pi_system.rpc.frames import CONTROL, DATA, FRAME_BYTES
from pi_system.rpc.session_config import SESSION_METHOD
from pi_system.rpc.transport import client_channel, dial, unary
from pi_system.version import PROTOCOL_VERSION

HELLO = ClientHello(protocol_version=PROTOCOL_VERSION, backend="toy", client_id=bytes(16), reveal="label")


@pytest.fixture
def server(toy: Toy) -> Any:
    return toy.server[1]


@pytest.fixture
def connect() -> Iterator[Any]:
    """Opens streams; ends them after the test."""
    connections = []

    def open_stream(address: str, method: str = SESSION_METHOD) -> Any:
        connection = dial(address, method, connect_timeout_s=10.0, timeout_s=10.0, peer="server")
        connections.append(connection)
        return connection.stream

    yield open_stream
    for connection in connections:
        connection.abort(PeerUnavailableError("the test is over"))


def changed(**fields: Any) -> ClientHello:
    hello = ClientHello()
    hello.CopyFrom(HELLO)
    for name, value in fields.items():
        setattr(hello, name, value)
    return hello


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"protocol_version": 99}, f"protocol version: expected {PROTOCOL_VERSION}, found 99"),
        ({"client_id": b"short"}, "client id"),
        ({"reveal": "everything"}, "reveal: expected one of label, scores, logits"),
        ({"reveal": "argmax"}, "reveal: expected one of label, scores, logits"),
        ({"reveal": "LABEL"}, "reveal"),
        ({"reveal": "x" * 70_000}, "reveal"),
        ({"reveal": "scores"}, r"expected at most label, this server's policy \(pi-server serve --reveal\)"),
        ({"reveal": "logits"}, r"expected at most label, this server's policy \(pi-server serve --reveal\)"),
        ({"backend": "../../etc"}, "backend"),
    ],
)
def test_bad_hello_is_refused(server: Any, connect: Callable[..., Any], fields: dict[str, Any], expected: str) -> None:
    stream = connect(server)
    write(stream, ClientEnvelope(hello=changed(**fields)))
    with pytest.raises(ConfigError, match=expected):
        read_server(stream, "hello")


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([(b"\xff" * 100, CONTROL)], id="garbage"),
        pytest.param([(os.urandom(3 * FRAME_BYTES), DATA)], id="data instead of hello"),
        pytest.param([(b"", CONTROL)], id="empty envelope"),
        pytest.param([(ClientEnvelope(infer=Infer(ids=["x"])).SerializeToString(), CONTROL)], id="no hello"),
    ],
)
def test_bad_first_message_is_refused(server: Any, connect: Callable[..., Any], frames: Any) -> None:
    stream = connect(server)
    for body, tag in frames:
        stream.write(body, tag)
    with pytest.raises(RemoteProtocolError):
        read_server(stream, "hello")


@pytest.mark.parametrize(
    "command",
    [
        ClientEnvelope(prepare=Prepare(count=0, pairing_id=bytes(16))),
        ClientEnvelope(prepare=Prepare(count=1 << 30, pairing_id=bytes(16))),
        ClientEnvelope(prepare=Prepare(count=1, pairing_id=b"x")),
        ClientEnvelope(infer=Infer(ids=[])),
        ClientEnvelope(infer=Infer(ids=["a", "a"])),
        ClientEnvelope(infer=Infer(ids=[f"{number}" for number in range(1025)])),
        ClientEnvelope(hello=HELLO),
    ],
)
def test_bad_command_is_refused(server: Any, connect: Callable[..., Any], command: Any) -> None:
    stream = connect(server)
    write(stream, ClientEnvelope(hello=HELLO))
    stream.read_data(read_server(stream, "hello").hello.public_model_bytes)
    write(stream, command)
    with pytest.raises(RemoteProtocolError):
        read_server(stream, "done")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param(b"", "INVALID_ARGUMENT", id="no tag"),
        pytest.param(b"\x07", "INVALID_ARGUMENT", id="unknown tag"),
        pytest.param(bytes(FRAME_BYTES + 2), "RESOURCE_EXHAUSTED", id="over our limit"),
        pytest.param(bytes(5 * FRAME_BYTES), "RESOURCE_EXHAUSTED|UNAVAILABLE", id="over gRPC's limit"),
    ],
)
def test_bad_frame_ends_the_stream(server: Any, frame: bytes, code: str) -> None:
    with client_channel(server) as channel:
        call = channel.stream_stream("/pi_system.v1.Inference/Session", None, None)(iter([frame]), wait_for_ready=True)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
    assert re.fullmatch(code, caught.value.code().name)


def test_unknown_method_is_no_pi_system_peer(server: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="UNIMPLEMENTED"):
        unary(server, "Nothing", b"", timeout_s=5.0, peer="server")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"protocol_version": PROTOCOL_VERSION + 1}, ConfigError),
        ({"backend": "none"}, ConfigError),
        ({"role": "judge"}, RemoteProtocolError),
        ({"pairing_id": b"1"}, RemoteProtocolError),
        ({"count": 0}, RemoteProtocolError),
        ({"request_bytes": 1 << 40}, FrameTooLargeError),
        ({"request_bytes": 5}, RemoteProtocolError),
    ],
)
def test_dealer_refuses_bad_hellos(
    toy: Toy, connect: Callable[..., Any], fields: dict[str, Any], expected: Any
) -> None:
    stream = connect(toy.dealer[1], DEALER_METHOD)
    hello: dict[str, Any] = {
        "protocol_version": PROTOCOL_VERSION,
        "pairing_id": bytes(16),
        "role": "client",
        "backend": "toy",
        "count": 1,
        "request_bytes": 4,
    }
    write(stream, DealerHello(**(hello | fields)))
    stream.write(b"four", DATA)
    with pytest.raises(expected):
        stream.read_control()


def test_no_client_can_have_the_server_imitate_a_slow_link(server: Any, connect: Callable[..., Any]) -> None:
    """Older hellos had a field 6 for it: 1 bit a second, 10 s a round trip."""
    link = b"0.000001,10000"
    stream, hello = connect(server), HELLO.SerializeToString() + b"\x32" + bytes([len(link)]) + link
    stream.write(b"\x0a" + bytes([len(hello)]) + hello, CONTROL)
    stream.read_data(read_server(stream, "hello").hello.public_model_bytes)
    write(stream, ClientEnvelope(infer=Infer(ids=["unknown"])))
    with pytest.raises(CorrelationReusedError):  # at once: the stream itself waits for 10 s
        read_server(stream, "ready")


def test_server_still_serves(server: Any, connect: Callable[..., Any]) -> None:
    stream = connect(server)
    write(stream, ClientEnvelope(hello=HELLO))
    assert read_server(stream, "hello").hello.protocol_version == PROTOCOL_VERSION
