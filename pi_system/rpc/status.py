"""The one place that maps this package's errors to gRPC statuses and back.

The class name travels in the trailing metadata and the message (which never holds secrets, see pi_system.errors) in
the status details, so that the client raises what the server raised. What a peer sends is shortened and stripped of
control characters before it reaches a terminal.
"""

from typing import Final

import grpc

from pi_system import errors
from pi_system.errors import (
    ChannelError,
    ConfigError,
    FrameTooLargeError,
    InvariantError,
    PeerTimeoutError,
    PeerUnavailableError,
    PiError,
    RemoteProtocolError,
)

__all__ = ["ERROR_KEY", "error_to_status", "rpc_error_to_error"]

ERROR_KEY: Final = "pi-error"
MESSAGE_CHARS: Final = 500
_CODES: Final[dict[type[PiError], grpc.StatusCode]] = {
    errors.ConfigError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ArtifactError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.CorrelationError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PeerUnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DealerUnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.PeerTimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.FrameTooLargeError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_GONE: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # too many calls at once
}
_CLASSES: Final[dict[str, type[PiError]]] = {name: getattr(errors, name) for name in errors.__all__}


_HANDSHAKE: Final = ("TSI_PROTOCOL_FAILURE", "verification check failed")
"""What gRPC's text of a failed TLS handshake has; it has no code of its own."""


def error_to_status(error: BaseException) -> tuple[grpc.StatusCode, str, str]:
    """Status code, safe message and class name of ``error``; anything but a PiError becomes an InvariantError."""
    if not isinstance(error, PiError) or type(error).__name__ not in _CLASSES:
        return grpc.StatusCode.INTERNAL, "internal error, see the server's log", InvariantError.__name__
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)
    return code, _printable(str(error)), type(error).__name__


def rpc_error_to_error(error: Exception, peer: str, gone: type[ChannelError] = PeerUnavailableError) -> PiError:
    """The error that a failed call stands for: the peer's own, or what the transport saw (``gone``: no peer)."""
    if not isinstance(error, grpc.Call):
        return gone(f"{peer}: went away")
    code, details = error.code(), _printable(error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY and isinstance(value, str) and value in _CLASSES:
            return _CLASSES[value](details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return PeerTimeoutError(f"{peer}: no answer in time")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return FrameTooLargeError(f"{peer}: {details}")
    if any(text in details for text in _HANDSHAKE):
        return ConfigError(f"{peer}: expected TLS 1.3 and a certificate for its role, found: {details}")
    if code in _GONE:
        return gone(f"{peer}: {details}")
    return RemoteProtocolError(f"{peer}: expected a pi-system peer, found status {code.name}: {details}")


def _printable(text: str) -> str:
    """``text`` on one line, in ASCII, at most MESSAGE_CHARS long."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text)
    return clean if len(clean) <= MESSAGE_CHARS else clean[: MESSAGE_CHARS - 3] + "..."
