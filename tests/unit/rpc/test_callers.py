"""Callers that send half a call, or read nothing: each call ends, and one certificate has part of them."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_http2 import RawCaller

from pi_system._proto.v1.control_pb2 import ServerEnvelope, ServerHello
from pi_system.errors import BusyError, PeerTimeoutError, PiError
from pi_system.rpc import listen
from pi_system.rpc.callers import Callers
from pi_system.rpc.endpoint import Endpoint, enter
from pi_system.rpc.envelope import write
from pi_system.rpc.overdue import Overdue
from pi_system.rpc.session_config import Hello, SessionConfig
from pi_system.rpc.tls import Caller, Identity
from pi_system.rpc.transport import dial, unary

MALLORY = Caller(role="client", name="mallory")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "Overdue", lambda: Overdue(0.2))


def test_a_request_that_never_comes_holds_no_call(serve: Any) -> None:
    address = serve({}, {"Ask": lambda request: request}, max_streams=8)
    with RawCaller(address) as caller:
        for _ in range(4):
            caller.call("Ask")
        caller.ends(4)
        assert unary(address, "Ask", b"x", timeout_s=5.0, peer="server") == b"x"


def test_a_refusal_that_is_not_read_holds_no_call(serve: Any) -> None:
    def take(stream: Any) -> None:
        stream.fail(PeerTimeoutError("no hello came"))

    address = serve({"Session": take}, max_streams=8)
    with RawCaller(address, window=0) as caller:
        for _ in range(4):
            caller.call("Session")
        caller.ends(4)
    with pytest.raises(PeerTimeoutError, match="no hello came"):
        dial(address, "Session", connect_timeout_s=5.0, timeout_s=5.0, peer="server").stream.read_data(1)


def test_one_certificate_has_half_of_the_calls(serve: Any, link_keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client, other, server = (Identity.load(link_keys / role) for role in ("client", "dealer", "server"))
    address = serve({"Session": taken.put}, max_streams=4, identity=server)
    held = [connect(address, client) for _ in range(2)]
    with pytest.raises(BusyError, match="caller client: expected at most 2 open calls of one certificate"):
        connect(address, client)
    assert "caller client: expected at most 2 open calls" in caplog.text
    held.append(connect(address, other))
    for connection in held:
        connection.abort(PiError("the test is over"))


def connect(address: str, identity: Identity) -> Any:
    return dial(address, "Session", connect_timeout_s=20.0, timeout_s=5.0, peer="server", identity=identity)


def test_a_call_counts_until_it_is_over() -> None:
    callers, over = Callers(2), list[Callable[[], None]]()

    def when_over(leave: Callable[[], None]) -> bool:
        over.append(leave)
        return True

    for _ in range(2):
        callers.enter(MALLORY, when_over)
    with pytest.raises(BusyError, match="client mallory") as caught:
        callers.enter(MALLORY, when_over)
    assert caught.value.retry_s > 0
    for caller in (Caller(role="client"), Caller(role="server", name="mallory"), None):
        callers.enter(caller, when_over)
    over[0]()
    callers.enter(MALLORY, lambda leave: False)  # over before it could be kept
    callers.enter(MALLORY, when_over)


def test_a_client_with_too_many_calls_waits_as_for_a_place(serve: Any) -> None:
    refusals, told = [BusyError("too many calls", 0.01)], list[BusyError]()

    def take(stream: Any) -> None:
        if refusals:
            raise refusals.pop()
        write(stream, ServerEnvelope(hello=ServerHello(reveal="label")))

    address = serve({"Session": take})
    endpoint = Endpoint(server=address, dealer=None, store_dir=Path("unused"), on_busy=told.append)
    asked = Hello(config=SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16)))
    connection, hello = enter(endpoint, asked)
    assert hello.reveal == "label"
    assert [str(busy) for busy in told] == ["too many calls"]
    connection.abort(PiError("the test is over"))
