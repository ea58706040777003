"""A party's way to the dealer: one stream a request, opened when the offline phase asks for it."""

from dataclasses import dataclass, field
from typing import Literal

from pi_system._proto.v1.control_pb2 import DealerAccepted, DealerHello
from pi_system.channel.base import Channel
from pi_system.errors import ConfigError, DealerUnavailableError, PiError
from pi_system.rpc.byte_queue import copied
from pi_system.rpc.channel import GrpcChannel, Wrap, as_it_is
from pi_system.rpc.envelope import read, write
from pi_system.rpc.frames import DATA
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import Connection, dial
from pi_system.version import PROTOCOL_VERSION

DEALER_METHOD = "Deal"
Role = Literal["server", "client"]


@dataclass(slots=True, kw_only=True)
class DealerDialer:
    """The DealerLink of one ``prepare``: call it with a request to get the stream of correlations.

    Attributes:
        address: of the dealer, None if this party has none.
        pairing_id: 16 random bytes that only both parties know: under it the dealer pairs them.
        role: this party's.
        backend: whose deal function is asked for.
        count: inferences.
        connect_timeout_s: how long a dealer that does not answer is tried.
        timeout_s: how long a silent one is waited for.
        identity: this party's; None: plaintext.
        wrap: put around the channel; for measurements.
    """

    address: str | None
    pairing_id: bytes
    role: Role
    backend: str
    count: int
    connect_timeout_s: float
    timeout_s: float
    identity: Identity | None = None
    wrap: Wrap = as_it_is
    _connections: list[Connection] = field(default_factory=list)
    _channels: list[Channel] = field(default_factory=list)
    _failed: PiError | None = None

    def __call__(self, request: bytes) -> Channel:
        """Open a stream and wait until the dealer has both parties; see DealerLink.

        Raises:
            ConfigError: there is no dealer, or the other party's request differs.
            DealerUnavailableError: it cannot be reached or went away.
            PeerTimeoutError: the other party did not come.
        """
        if self.address is None:
            raise ConfigError("dealer: expected an address, found none")
        connection = dial(
            self.address,
            DEALER_METHOD,
            connect_timeout_s=self.connect_timeout_s,
            timeout_s=self.timeout_s,
            peer=f"dealer {self.address}",
            gone=DealerUnavailableError,
            identity=self.identity,
            role="dealer",
        )
        self._connections.append(connection)
        try:
            if self._failed is not None:  # the session, while the dealer was dialled
                raise copied(self._failed)
            write(connection.stream, self._hello(request))
            connection.stream.write(request, DATA)
            read(connection.stream, DealerAccepted)
        except PiError as error:
            connection.abort(error)
            raise
        channel = self.wrap(GrpcChannel(connection.stream, connection.close))
        self._channels.append(channel)
        return channel

    def payload_bytes(self) -> int:
        """Payload exchanged with the dealer so far, both directions."""
        return sum(c.counters.sent_bytes + c.counters.received_bytes for c in self._channels)

    def abort(self, error: PiError) -> None:
        """The session failed with ``error``: so does whoever waits for the dealer."""
        self._failed = error
        for connection in self._connections:
            connection.abort(error)

    def close(self) -> None:
        """Disconnect from the dealer."""
        for channel in self._channels:
            channel.close()

    def _hello(self, request: bytes) -> DealerHello:
        return DealerHello(
            protocol_version=PROTOCOL_VERSION,
            pairing_id=self.pairing_id,
            role=self.role,
            backend=self.backend,
            count=self.count,
            request_bytes=len(request),
        )
