"""What both parties of a session must agree on, and its form in the client's first message."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from pi_system._proto.v1.control_pb2 import ClientHello
from pi_system.backends.registry import AUTO
from pi_system.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from pi_system.program.reveal import REVEALS, Reveal
from pi_system.rpc.envelope import ID_BYTES
from pi_system.secure.options import RuntimeOptions
from pi_system.version import PROTOCOL_VERSION

SESSION_METHOD: Final = "Session"
MAX_BATCH: Final = 1024
"""Pictures of one inference."""

Asked = Reveal | Literal[""]
"""What a client asks to learn; empty: whatever the server reveals."""
_ASKED: Final = ("", *REVEALS)
_TICKET: Final = re.compile(r"([0-9a-f]{32})?")
_REQUEST: Final = re.compile(r"([0-9a-f]{16})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """One session's configuration, chosen by the client, accepted or refused by the server.

    Attributes:
        backend: name in the registry, or ``auto`` until the client has chosen.
        artifact_digest: of the client's public model, in hex; empty: it asks the server for the model.
        client_id: 16 random bytes under which the server keeps this client's offline material.
        reveal: what the client asks to learn, and once the server has answered what it learns.
        insecure_provider: ask for a provider that is not secure; the server must have been started so.
        profile: keep profiles, and ask for the server's half, which a server gives only if started so.
    """

    backend: str
    artifact_digest: str
    client_id: bytes
    reveal: Asked = ""
    insecure_provider: bool = False
    profile: bool = False

    def __post_init__(self) -> None:
        """Check every field that a peer may have sent. Raises ConfigError."""
        if len(self.client_id) != ID_BYTES:
            raise ConfigError(f"client id: expected {ID_BYTES} bytes, found {len(self.client_id)}")
        if self.reveal not in _ASKED:
            raise ConfigError(f"reveal: expected one of {', '.join(REVEALS)}, found {self.reveal[:20]!r}")

    @property
    def revealed(self) -> Reveal:
        """What the client learns. Raises LocalProtocolError before the server has answered."""
        if self.reveal == "":
            raise LocalProtocolError("reveal: expected the server's answer, found none yet")
        return self.reveal


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A client's first message.

    Attributes:
        config: what its session shall be.
        prepares: it starts with an offline phase.
        ticket: of an earlier refusal, 32 hexadecimal digits; empty: none.
        request: the client's name of it in both sides' logs, 16 hexadecimal digits; empty: none.
        line: it would take a line for its online phases.
    """

    config: SessionConfig
    prepares: bool = False
    ticket: str = ""
    request: str = ""
    line: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if not _TICKET.fullmatch(self.ticket):
            raise ConfigError(f"ticket: expected 32 hexadecimal digits or none, found {self.ticket[:40]!r}")
        if not _REQUEST.fullmatch(self.request):
            raise ConfigError(f"request: expected 16 hexadecimal digits or none, found {self.request[:20]!r}")


def hello_to_proto(hello: Hello) -> ClientHello:
    """The client's first message."""
    config = hello.config
    return ClientHello(
        protocol_version=PROTOCOL_VERSION,
        backend=config.backend,
        artifact_digest=config.artifact_digest,
        client_id=config.client_id,
        reveal=config.reveal,
        insecure_provider=config.insecure_provider,
        profile=config.profile,
        prepares=hello.prepares,
        ticket=hello.ticket,
        request=hello.request,
        line=hello.line,
    )


def request_of(hello: ClientHello) -> str:
    """The client's name of it for logs, also where the rest of it is refused; empty where it is none."""
    return hello.request if _REQUEST.fullmatch(hello.request) else ""


def hello_from_proto(hello: ClientHello) -> Hello:
    """What a client asks for. Raises ConfigError."""
    check_version(hello.protocol_version)
    config = SessionConfig(
        backend=hello.backend,
        artifact_digest=hello.artifact_digest,
        client_id=hello.client_id,
        reveal=cast(Asked, hello.reveal),  # checked in __post_init__
        insecure_provider=hello.insecure_provider,
        profile=hello.profile,
    )
    return Hello(config=config, prepares=hello.prepares, ticket=hello.ticket, request=hello.request, line=hello.line)


def granted(asked: SessionConfig, found: str) -> Reveal:
    """What the server says that this session reveals. Raises RemoteProtocolError for what was not asked for."""
    expected = REVEALS if asked.reveal == "" else (asked.reveal,)
    for reveal in expected:
        if found == reveal:
            return reveal
    raise RemoteProtocolError(f"reveal: expected {' or '.join(expected)}, found {found[:20]!r} granted")


def check_granted(asked: SessionConfig, found: str) -> None:
    """Raise RemoteProtocolError for a backend that was not asked for; of ``auto`` a server names none."""
    expected = "" if asked.backend == AUTO else asked.backend
    if found != expected:
        raise RemoteProtocolError(f"backend: expected {expected!r}, found {found[:40]!r} granted")


def runtime_options(config: SessionConfig, store_dir: Path) -> RuntimeOptions:
    """What a session's runtime is made of. Raises LocalProtocolError before the server has answered."""
    return RuntimeOptions(
        backend=config.backend,
        client_id=config.client_id.hex(),
        reveal=config.revealed,
        insecure_provider=config.insecure_provider,
        store_dir=store_dir,
    )


def check_version(found: int) -> None:
    """Refuse a peer of another protocol version. Raises ConfigError."""
    if found != PROTOCOL_VERSION:
        raise ConfigError(f"protocol version: expected {PROTOCOL_VERSION}, found {found}")
