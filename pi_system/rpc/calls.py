"""A gRPC server of one service's request-reply calls, in the clear: for protocols that are not this package's own."""

from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, Final

import grpc

from pi_system.errors import ConfigError
from pi_system.rpc.status import error_to_status
from pi_system.rpc.transport import check_address

WhenGone = Callable[[Callable[[], None]], None]
"""Has a function called when the caller went away, or its deadline is over."""
Reply = Callable[[bytes, WhenGone], bytes]
"""A request's bytes to the reply's. Raises PiError, RefusedError, or CancelledError for a caller that went away."""

_SILENT_MS: Final = 10_000


class RefusedError(Exception):
    """A call that ends with a status.

    Attributes:
        code: its name, as ``NOT_FOUND``.
    """

    def __init__(self, code: str, message: str):
        """``message`` goes to the caller: no secrets."""
        super().__init__(message)
        self.code = code


def status_of(error: BaseException) -> tuple[str, str]:
    """Name of the status that ``error`` becomes, and a message without secrets."""
    if isinstance(error, RefusedError):
        return error.code, str(error)
    if isinstance(error, CancelledError):
        return grpc.StatusCode.CANCELLED.name, "gateway: the caller went away"
    code, message, _ = error_to_status(error)
    return code.name, message


class CallServer:
    """Serves from its making until it is stopped.

    Attributes:
        address: where, with the port that was found.
    """

    def __init__(self, address: str, service: str, replies: Mapping[str, Reply], *, at_once: int, most_bytes: int):
        """Start.

        Args:
            address: HOST:PORT, port 0: any free one. Who makes this has decided that plaintext may be offered there.
            service: full name of the service.
            replies: its calls, by name.
            at_once: calls served at once; more are refused with RESOURCE_EXHAUSTED.
            most_bytes: of a request; larger ones are refused so, too.

        Raises:
            ConfigError: the address cannot be bound.
        """
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", most_bytes),
            ("grpc.server_handshake_timeout_ms", _SILENT_MS),
        )
        pool = ThreadPoolExecutor(at_once, thread_name_prefix="calls")
        self._server = grpc.server(pool, options=options, maximum_concurrent_rpcs=at_once)
        handlers = {name: grpc.unary_unary_rpc_method_handler(_handler(reply)) for name, reply in replies.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        try:
            port = self._server.add_insecure_port(check_address(address))
        except RuntimeError:
            raise ConfigError(f"gRPC: expected a free address, found that {address} cannot be bound") from None
        self.address = f"{address.rpartition(':')[0]}:{port}"
        self._server.start()

    def stop(self, drain_s: float) -> None:
        """Take no call; those at work have so long to end."""
        self._server.stop(drain_s)

    def wait(self) -> None:
        """Until it has stopped."""
        self._server.wait_for_termination()


def _handler(reply: Reply) -> Callable[[bytes, Any], bytes]:
    def handle(request: bytes, context: Any) -> bytes:
        def when_gone(then: Callable[[], None]) -> None:
            if not context.add_callback(then):
                then()

        try:
            return reply(request, when_gone)
        except Exception as error:
            code, message = status_of(error)
            context.abort(grpc.StatusCode[code], message)
            raise

    return handle
