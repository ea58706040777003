"""Sends and receives of one gRPC stream without a thread in between.

grpcio's public way pulls requests from an iterator in a thread of its own, and gives what comes to whoever waits in
another iterator: a hand-over between threads for each, which costs more while the thread that sent holds the
interpreter. Underneath, any thread may start an operation, and its end is told in the thread that polls. That is what
this module uses, as grpcio's own iterators do, under the same locks. These names are not promised to stay, so only
versions that the tests have seen are used so (TESTED); under others a stream goes the public way, slower, with the same
bytes.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc
from grpc import _channel, _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

TESTED: Final = ("1.85.",)
"""What ``grpc.__version__`` may begin with."""
_NO_FLAGS: Final = 0


class DirectCall(Protocol):
    """One end of a stream; at most one send and one receive are under way. Callbacks must not block, nor raise."""

    def send(self, frame: bytes, sent: Callable[[], None]) -> bool:
        """Start sending; ``sent`` is called when the next may start. False: not now, nothing was started."""

    def receive(self, got: Callable[[bytes | None], None]) -> bool:
        """Wait for a frame; ``got`` is called with it, None: none comes any more. False: as for ``send``."""


class _ClientCall:
    def __init__(self, call: Any):
        self._state, self._call = call._state, call._call
        self._on_event = _channel._event_handler(self._state, None)

    def send(self, frame: bytes, sent: Callable[[], None]) -> bool:
        """See DirectCall."""
        operation = cygrpc.SendMessageOperation(frame, _NO_FLAGS)
        return self._start(cygrpc.OperationType.send_message, operation, sent)

    def receive(self, got: Callable[[bytes | None], None]) -> bool:
        """See DirectCall."""

        def received() -> None:
            frame, self._state.response = self._state.response, None
            got(frame)

        return self._start(cygrpc.OperationType.receive_message, cygrpc.ReceiveMessageOperation(_NO_FLAGS), received)

    def _start(self, kind: Any, operation: Any, done: Callable[[], None]) -> bool:
        def on_event(event: Any) -> bool:
            over: bool = self._on_event(event)
            done()
            return over

        state = self._state
        with state.condition:
            if state.code is not None or state.cancelled:
                return False
            state.due.add(kind)
            if self._call.operate((operation,), on_event):
                return True
            state.due.remove(kind)
            return False


class _ServerCall:
    def __init__(self, context: Any):
        self._state, self._call = context._state, context._rpc_event.call

    def send(self, frame: bytes, sent: Callable[[], None]) -> bool:
        """See DirectCall; not before grpcio has sent the first frame, with which go the headers."""
        if self._state.initial_metadata_allowed:
            return False
        token = _server._SEND_MESSAGE_TOKEN
        operation = cygrpc.SendMessageOperation(frame, _NO_FLAGS)
        return self._start(token, operation, _server._send_message(self._state, token), sent)

    def receive(self, got: Callable[[bytes | None], None]) -> bool:
        """See DirectCall."""

        def received() -> None:
            frame, self._state.request = self._state.request, None
            got(frame)

        on_event = _server._receive_message(self._state, self._call, None)
        operation = cygrpc.ReceiveMessageOperation(_NO_FLAGS)
        return self._start(_server._RECEIVE_MESSAGE_TOKEN, operation, on_event, received)

    def _start(self, token: str, operation: Any, on_event: Callable[[Any], Any], done: Callable[[], None]) -> bool:
        def then(event: Any) -> Any:
            finished = on_event(event)
            done()
            return finished

        state = self._state
        with state.condition:
            if not _server._is_rpc_state_active(state):
                return False
            self._call.start_server_batch((operation,), then)
            state.due.add(token)
            return True


def client_call(call: Any) -> DirectCall | None:
    """Of the dialling end's stream-stream ``call``; None: this grpcio is none of TESTED."""
    return _ClientCall(call) if is_tested() else None


def server_call(context: Any) -> DirectCall | None:
    """Of a stream-stream handler's ``context``, likewise."""
    return _ServerCall(context) if is_tested() else None


def is_tested(version: str = grpc.__version__) -> bool:
    """Whether the names used here are known to mean what they must in grpcio ``version``."""
    return version.startswith(TESTED)
