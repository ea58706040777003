"""The end of a stream that is dialled: a gRPC server of raw-byte streams and request-reply calls."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from pi_system.errors import BusyError, ConfigError, PeerUnavailableError, PiError
from pi_system.rpc.callers import Callers
from pi_system.rpc.direct import server_call
from pi_system.rpc.frames import OPEN, FrameStream
from pi_system.rpc.overdue import Overdue
from pi_system.rpc.status import error_metadata, error_to_status, rpc_error_to_error
from pi_system.rpc.tls import Caller, Identity, caller_of, check_plaintext
from pi_system.rpc.transport import LISTEN_OPTIONS, SERVICE, check_address

_LOG = logging.getLogger(__name__)


def _abort(context: grpc.ServicerContext, error: BaseException) -> None:
    """End a call with ``error``'s status; raises what gRPC needs raised."""
    code, message, _ = error_to_status(error)
    context.set_trailing_metadata(error_metadata(error))
    context.abort(code, message)


class _Calls:
    """What the server does with its calls: each is checked for a certificate, every error becomes a status."""

    def __init__(self, timeout_s: float, identity: Identity | None, max_streams: int):
        self._timeout_s, self._identity = timeout_s, identity
        self._overdue, self._callers = Overdue(), Callers(max(1, max_streams // 2))

    def handlers(
        self, methods: dict[str, Callable[[FrameStream], None]], unary: dict[str, Callable[[bytes], bytes]]
    ) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """One for every name; see serve_streams."""
        streams = {
            name: grpc.stream_stream_rpc_method_handler(_with(self._stream, take)) for name, take in methods.items()
        }
        # As streams of one message: a unary handler is called, in a thread that waits, once its request has come.
        replies = {name: grpc.stream_unary_rpc_method_handler(_with(self._answer, f)) for name, f in unary.items()}
        return streams | replies

    def _enter(self, context: Any) -> Caller | None:
        """Who calls. Raises ConfigError, or BusyError: that certificate has too many calls open."""
        caller = None if self._identity is None else caller_of(context.auth_context())
        try:
            self._callers.enter(caller, context.add_callback)
        except BusyError as error:
            _LOG.warning("peer %s: %s", context.peer(), error)
            raise
        return caller

    def _stream(self, take: Callable[[FrameStream], None], requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        try:
            stream = FrameStream(self._timeout_s, f"peer {context.peer()}", caller=self._enter(context))
        except PiError as error:
            _abort(context, error)
            raise
        gone = PeerUnavailableError(f"{stream.peer}: went away")
        if not context.add_callback(lambda: stream.fail(gone)):
            return
        stream.when_dead(lambda _: self._overdue.add(context))
        stream.pump(
            requests,
            lambda error: rpc_error_to_error(error, stream.peer),
            peer_still_reads=True,
            call=server_call(context),
        )
        try:
            stream.write(b"", OPEN)
            take(stream)
            yield from stream.outgoing()
        except Exception as error:
            if not isinstance(error, PiError):
                _LOG.exception("a stream could not be served")
            if context.is_active():
                _abort(context, error)

    def _answer(self, reply: Callable[[bytes], bytes], requests: Iterator[bytes], context: Any) -> bytes:
        self._overdue.add(context)
        try:
            self._enter(context)
            return reply(next(requests, b""))
        except PiError as error:
            _abort(context, error)
            raise


def serve_streams(
    address: str,
    methods: dict[str, Callable[[FrameStream], None]],
    unary: dict[str, Callable[[bytes], bytes]],
    *,
    timeout_s: float,
    max_streams: int,
    share_port: bool = False,
    identity: Identity | None = None,
) -> tuple[grpc.Server, int]:
    """Start a gRPC server on ``address`` (port 0: any free one); returns it and its port.

    Args:
        address: HOST:PORT.
        methods: by method name, what takes a new stream over. It must return at once (the thread that calls it
            sends the stream's frames afterwards) and see to it that the stream is closed or failed in the end.
        unary: by method name, request-reply calls.
        timeout_s: of the streams.
        max_streams: streams served at once, half of them of one certificate; more are refused, by gRPC those in all.
        share_port: other sockets of ours are bound to the port, too.
        identity: this end's; callers need a certificate of its authority. None: plaintext.

    Raises:
        ConfigError: the address cannot be bound, or plaintext would leave this machine.
    """
    pool = ThreadPoolExecutor(max_workers=max_streams + 2, thread_name_prefix="grpc")
    server = grpc.server(
        pool, options=(*LISTEN_OPTIONS, ("grpc.so_reuseport", int(share_port))), maximum_concurrent_rpcs=max_streams + 2
    )
    handlers = _Calls(timeout_s, identity, max_streams).handlers(methods, unary)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = _bind(server, check_address(address), identity)
    if not port:
        raise ConfigError(f"listen: expected a free address, found that {address} cannot be bound")
    server.start()
    return server, port


def _bind(server: grpc.Server, address: str, identity: Identity | None) -> int:
    """The port that ``server`` will listen on; 0 if the address cannot be bound."""
    if identity is None:
        check_plaintext(address)
    try:
        if identity is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, identity.to_listen())
    except RuntimeError:
        return 0


def _with(function: Callable[..., Any], first: object) -> Callable[[Any, Any], Any]:
    return lambda request, context: function(first, request, context)
