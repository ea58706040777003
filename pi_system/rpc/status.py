"""The one place that maps this package's errors to gRPC statuses and back.

The class name travels in the trailing metadata and the message (which never holds secrets, see pi_system.errors) in
the status details, so that the client raises what the server raised. What a peer sends is shortened and stripped of
control characters before it reaches a terminal.
"""

import re
from typing import Final

import grpc

from pi_system import errors
from pi_system.errors import (
    BusyError,
    ChannelError,
    ConfigError,
    FrameTooLargeError,
    InvariantError,
    PeerTimeoutError,
    PeerUnavailableError,
    PiError,
    RemoteProtocolError,
)

ERROR_KEY: Final = "pi-error"
RETRY_KEY: Final = "pi-retry-ms"
TICKET_KEY: Final = "pi-ticket"
_MAX_RETRY_S: Final = 60.0
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
    errors.BusyError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_GONE: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # too many calls at once
}
_LOCAL: Final = {"BudgetError", "MissingExtraError"}
"""Errors that are no peer's business; a peer's word for one stands for no class."""
_CLASSES: Final[dict[str, type[PiError]]] = {name: kind for name, kind in errors.ERRORS.items() if name not in _LOCAL}


_HANDSHAKE: Final = ("TSI_PROTOCOL_FAILURE", "verification check failed")
"""What gRPC's text of a failed TLS handshake has; it has no code of its own."""
_SHUTDOWN: Final = "Server shutdown"
"""What its text of a call has whose server ended in order, between other words and codes."""


def error_to_status(error: BaseException) -> tuple[grpc.StatusCode, str, str]:
    """Status code, safe message and class name of ``error``; anything but a PiError becomes an InvariantError."""
    if not isinstance(error, PiError) or type(error).__name__ not in _CLASSES:
        return grpc.StatusCode.INTERNAL, "internal error, see the server's log", InvariantError.__name__
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)
    return code, _printable(str(error)), type(error).__name__


def error_metadata(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Trailing metadata of a call that ends with ``error``."""
    kind = (ERROR_KEY, error_to_status(error)[2])
    if not isinstance(error, BusyError):
        return (kind,)
    return kind, (RETRY_KEY, str(round(1000 * error.retry_s))), (TICKET_KEY, error.ticket)


def rpc_error_to_error(error: Exception, peer: str, gone: type[ChannelError] = PeerUnavailableError) -> PiError:
    """The error that a failed call stands for: the peer's own, or what the transport saw (``gone``: no peer)."""
    if not isinstance(error, grpc.Call):
        return gone(f"{peer}: went away")
    code, details = error.code(), _printable(error.details() or "")
    told = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
    if kind := _CLASSES.get(told.get(ERROR_KEY, "")):
        return _busy(details, told) if kind is BusyError else kind(details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return PeerTimeoutError(f"{peer}: no answer in time")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return FrameTooLargeError(f"{peer}: {details}")
    if any(text in details for text in _HANDSHAKE):
        return ConfigError(f"{peer}: expected TLS 1.3 and a certificate for its role, found: {details}")
    if code in _GONE:
        return gone(f"{peer}: shuts down" if _SHUTDOWN in details else f"{peer}: {details}")
    return RemoteProtocolError(f"{peer}: expected a pi-system peer, found status {code.name}: {details}")


def _busy(details: str, told: dict[str, str]) -> BusyError:
    """A peer's refusal; what it says beside is checked, or left out."""
    retry, ticket = told.get(RETRY_KEY, ""), told.get(TICKET_KEY, "")
    retry_s = min(int(retry) / 1000, _MAX_RETRY_S) if re.fullmatch(r"[0-9]{1,9}", retry) else 1.0
    return BusyError(details, retry_s, ticket if re.fullmatch(r"[0-9a-f]{32}", ticket) else "")


def _printable(text: str) -> str:
    """``text`` on one line, in ASCII, at most MESSAGE_CHARS long."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text)
    return clean if len(clean) <= MESSAGE_CHARS else clean[: MESSAGE_CHARS - 3] + "..."
