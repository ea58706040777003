"""Control messages on a stream: write one, or read one that must be of the kind expected."""

from typing import Final, Literal, TypeVar

from google.protobuf.message import DecodeError, Message

from pi_system._proto.v1.control_pb2 import (
    ClientEnvelope,
    DealerAccepted,
    DealerHello,
    ServerEnvelope,
)
from pi_system.errors import RemoteProtocolError
from pi_system.rpc.frames import CONTROL, FrameStream

ID_BYTES: Final = 16
"""Client and pairing ids are this many random bytes."""

E = TypeVar("E", ClientEnvelope, ServerEnvelope)
M = TypeVar("M", ClientEnvelope, ServerEnvelope, DealerHello, DealerAccepted)


def write(stream: FrameStream, message: Message) -> None:
    """Queue ``message`` as a control message."""
    stream.write(message.SerializeToString(), CONTROL)


def read(stream: FrameStream, kind: type[M], timeout_s: float | None = None) -> M:
    """The next message, which must be a control message of ``kind``.

    Raises:
        RemoteProtocolError: it is something else.
        ChannelError: see FrameStream.
    """
    try:
        return kind.FromString(bytes(stream.read_control(timeout_s)))
    except DecodeError:
        raise RemoteProtocolError(f"{stream.peer}: expected {kind.__name__}, found bytes that are none") from None


def read_client(stream: FrameStream, *expected: str, timeout_s: float | None = None) -> ClientEnvelope:
    """The client's next envelope, holding one of the ``expected`` messages; errors as ``read``."""
    return _holding(stream, read(stream, ClientEnvelope, timeout_s), expected)


def read_server(stream: FrameStream, *expected: Literal["hello", "prepared", "ready", "done"]) -> ServerEnvelope:
    """The server's next envelope, likewise."""
    return _holding(stream, read(stream, ServerEnvelope), expected)


def _holding(stream: FrameStream, envelope: E, expected: tuple[str, ...]) -> E:
    found = envelope.WhichOneof("message")
    if found not in expected:
        raise RemoteProtocolError(f"{stream.peer}: expected the message {' or '.join(expected)}, found {found}")
    return envelope
