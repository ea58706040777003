"""What a client sends in a session, recorded, so that it can be sent again without a client that computes.

A server reads messages of sizes that public data gives, and answers with what the recording does not need; so a session
can be replayed blindly through all of its phases. What must be new each time is exchanged: ids of clients, pairings and
material.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

from measuring.sessions import Network

from pi_system._proto.v1.control_pb2 import Bye, ClientEnvelope, DealerHello, Infer, Prepare
from pi_system.backends.fss.request import make_request
from pi_system.channel.base import Channel, ChannelCounters, TimedChannel
from pi_system.errors import InvariantError
from pi_system.protocols.half import Readable
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.envelope import ID_BYTES
from pi_system.rpc.frames import CONTROL, DATA
from pi_system.rpc.session_config import Hello, SessionConfig, hello_to_proto
from pi_system.version import PROTOCOL_VERSION

Phase = Literal["hello", "meeting", "offline", "online"]
PHASES: Final[tuple[Phase, ...]] = ("hello", "meeting", "offline", "online")
_USE_DIGITS: Final = 16
"""In front of a material's id, in the name of a use."""


class Message(NamedTuple):
    """One message of a client: in which phase, what, and its tag (control or data)."""

    phase: Phase
    body: bytes
    tag: int


class _Ear:
    """A channel that keeps what is sent."""

    def __init__(self, channel: TimedChannel, hear: Callable[[bytes], None]):
        self._channel, self._hear = channel, hear
        self.counters = ChannelCounters()

    @property
    def arrivals(self) -> Sequence[tuple[float, int]]:
        return self._channel.arrivals

    def send(self, data: Readable) -> None:
        self._hear(bytes(memoryview(data).cast("B")))
        self._channel.send(data)

    def recv(self, nbytes: int) -> memoryview:
        return self._channel.recv(nbytes)

    def close(self) -> None:
        self._channel.close()


class _Recorder(ClientSession):
    """A session that keeps the names of the material that it uses."""

    names: tuple[str, ...] = ()

    def _command(self, envelope: ClientEnvelope) -> None:
        self.names = (*self.names, *envelope.infer.ids)
        super()._command(envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A whole session of one backend.

    Attributes:
        config: that was agreed on.
        messages: data of the phases after the hello, in order; commands are made anew.
        name: of the material that was used.
        dealt: what both parties ask the dealer for, None: nothing.
    """

    config: SessionConfig
    messages: tuple[Message, ...]
    name: str
    dealt: bytes | None

    def replayed(self, client_id: bytes, pairing_id: bytes, ticket: str = "") -> list[Message]:
        """The session's messages, hello to goodbye, as if it were a new one; ``ticket``: of a refusal."""
        config, request = replace(self.config, client_id=client_id), secrets.token_hex(8)
        hello = Hello(config=config, prepares=True, ticket=ticket, request=request)
        material, name = secrets.token_bytes(ID_BYTES), self.name
        old = bytes.fromhex(name[_USE_DIGITS:]) if len(name) > _USE_DIGITS else None
        if old is not None:
            name = name[:_USE_DIGITS] + material.hex()
        commands = {
            "hello": ClientEnvelope(hello=hello_to_proto(hello)),
            "offline": ClientEnvelope(prepare=Prepare(count=1, pairing_id=pairing_id)),
            "online": ClientEnvelope(infer=Infer(ids=[name])),
        }
        said: list[Message] = []
        for phase in PHASES:
            said += [Message(phase, commands[phase].SerializeToString(), CONTROL)] if phase in commands else []
            data = [message for message in self.messages if message.phase == phase]
            said += [message._replace(body=material) if message.body == old else message for message in data]
        return [*said, Message("online", ClientEnvelope(bye=Bye()).SerializeToString(), CONTROL)]

    def asked(self, pairing_id: bytes) -> list[Message]:
        """What the client says to the dealer. Raises InvariantError: there is none."""
        if self.dealt is None:
            raise InvariantError(f"expected a backend with a dealer, found {self.config.backend}")
        hello = DealerHello(
            protocol_version=PROTOCOL_VERSION,
            pairing_id=pairing_id,
            role="client",
            backend=self.config.backend,
            count=1,
            request_bytes=len(self.dealt),
        )
        return [Message("offline", hello.SerializeToString(), CONTROL), Message("offline", self.dealt, DATA)]


def record(backend: str, network: Network, server: str, dealer: str, folder: Path) -> Recording:
    """An honest session: prepare one inference, use it. Raises PiError."""
    heard, phases, channels = list[Message](), list[Phase](["meeting"]), list[Channel]()

    def wrap(channel: TimedChannel) -> Channel:
        channels.append(channel)
        keep = len(channels) == 1  # the others are the dealer's
        return _Ear(channel, lambda body: heard.append(Message(phases[-1], body, DATA))) if keep else channel

    own = backend == "crypten"  # its first-party provider: no dealer
    client_id = secrets.token_bytes(ID_BYTES)
    config = SessionConfig(backend=backend, artifact_digest="", client_id=client_id, insecure_provider=own)
    endpoint = Endpoint(server=server, dealer=dealer, store_dir=folder / f"recorded-{backend}", wrap=wrap, line=False)
    session = _Recorder(endpoint, config, network.artifact)
    with session:
        phases.append("offline")
        session.prepare(1)
        phases.append("online")
        session.infer(network.pictures[:1])
    dealt = make_request(network.artifact, session.config.revealed) if backend == "fss" else None
    return Recording(config=session.config, messages=tuple(heard), name=session.names[0], dealt=dealt)
