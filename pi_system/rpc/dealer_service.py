"""The dealer: pairs the two parties' streams of one pairing id and runs the backend's deal function.

The dealer learns the requests (public: graph and ring), counts and times, and every mask it deals; never a weight or
a picture. A pairing is refused when the two differ in anything but their role. Pairs run at once, each in a thread.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pi_system._proto.v1.control_pb2 import DealerAccepted, DealerHello, Description
from pi_system.backends.registry import BACKENDS, Backends, find_backend
from pi_system.channel.base import Channel
from pi_system.errors import (
    ConfigError,
    FrameTooLargeError,
    InvariantError,
    PeerTimeoutError,
    PiError,
    RemoteProtocolError,
)
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.envelope import ID_BYTES, read, write
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.session_config import check_version
from pi_system.version import PROTOCOL_VERSION

MAX_REQUEST_BYTES: Final = 64 << 20
"""A request is a public graph: kilobytes, with pixel masks megabytes."""
_HELLO_S: Final = 5.0
_ROLES: Final = ("server", "client")
_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Party:
    stream: FrameStream
    hello: DealerHello
    request: bytes
    settled: threading.Event = field(default_factory=threading.Event)  # paired, or gone

    def terms(self) -> tuple[str, int, bytes]:
        """What must be equal for both parties."""
        return self.hello.backend, self.hello.count, self.request


class DealerService:
    """Takes streams over from the gRPC server.

    ``patience_s``: how long a party waits for the other; ``hello_s``: how long a new stream's first message may take.
    """

    def __init__(
        self,
        *,
        patience_s: float = 30.0,
        hello_s: float = _HELLO_S,
        max_pairs: int = 8,
        backends: Backends = BACKENDS,
    ):
        """A dealer with nobody waiting."""
        self._patience_s, self._hello_s = patience_s, hello_s
        self._backends = backends
        self._places = threading.BoundedSemaphore(max_pairs)
        self._lock = threading.Lock()
        self._waiting: dict[bytes, _Party] = {}
        self._running_pairs = self._dealt = 0

    def load_backends(self) -> None:
        """Import every backend now, so that the first pair does not wait for it."""
        for name in self._backends:
            find_backend(name, self._backends)

    def take(self, stream: FrameStream) -> None:
        """Serve a new stream in a thread of its own."""
        threading.Thread(target=self._serve, args=(stream,), name="dealing", daemon=True).start()

    def describe(self, _request: bytes) -> bytes:
        """Answer of the unary call Describe."""
        description = Description(protocol_version=PROTOCOL_VERSION, role="dealer", backends=sorted(self._backends))
        return description.SerializeToString()

    def _serve(self, stream: FrameStream) -> None:
        try:
            party = self._admit(stream)
            other = self._match(party)
            if other is None:
                self._await_other(party)
            else:
                self._deal(*sorted((party, other), key=lambda p: _ROLES.index(p.hello.role)))
        except PiError as error:
            _LOG.info("%s: %s", stream.peer, error)
            stream.fail(error)
        except Exception:
            _LOG.exception("%s: a bug", stream.peer)
            stream.fail(InvariantError("internal error, see the dealer's log"))

    def _admit(self, stream: FrameStream) -> _Party:
        """Read and check what a party wants."""
        hello = read(stream, DealerHello, self._hello_s)
        check_version(hello.protocol_version)
        find_backend(hello.backend, self._backends)
        if hello.role not in _ROLES or len(hello.pairing_id) != ID_BYTES or hello.count < 1:
            raise RemoteProtocolError("dealer: expected a role, a pairing id of 16 bytes and a positive count")
        stream.check_role(hello.role)
        if hello.request_bytes > MAX_REQUEST_BYTES:
            raise FrameTooLargeError(
                f"dealer: expected a request of at most {MAX_REQUEST_BYTES}, found {hello.request_bytes} bytes"
            )
        return _Party(stream, hello, bytes(stream.read_data(hello.request_bytes)))

    def _match(self, party: _Party) -> _Party | None:
        """The party that waits for this one; None if it is this one's turn to wait."""
        with self._lock:
            other = self._waiting.get(party.hello.pairing_id)
            if other is None:
                self._waiting[party.hello.pairing_id] = party
                return None
            if other.hello.role == party.hello.role:
                raise RemoteProtocolError(f"dealer: expected one {party.hello.role} a pairing, found two")
            del self._waiting[party.hello.pairing_id]
            other.settled.set()
        if other.terms() != party.terms():
            error = ConfigError("dealer: expected equal requests of server and client, found that they differ")
            other.stream.fail(error)
            raise error
        return other

    def _await_other(self, party: _Party) -> None:
        """Return once the other party's thread has taken ``party`` over. Raises PeerTimeoutError."""
        party.stream.when_dead(lambda _: party.settled.set())
        party.settled.wait(self._patience_s)
        with self._lock:
            alone = self._waiting.get(party.hello.pairing_id) is party
            if alone:
                del self._waiting[party.hello.pairing_id]
        if alone:
            raise PeerTimeoutError(f"dealer: expected the other party within {self._patience_s:g} s, found none")

    def _deal(self, server: _Party, client: _Party) -> None:
        backend = find_backend(server.hello.backend, self._backends)
        try:
            with self._places, self._counted():
                channels = [self._open(party) for party in (server, client)]
                backend.deal(server.request, server.hello.count, *channels)
                for party in (server, client):
                    party.stream.close()
        except PiError as error:
            for party in (server, client):
                party.stream.fail(error)
            raise
        except Exception:
            for party in (server, client):
                party.stream.fail(InvariantError("internal error, see the dealer's log"))
            raise

    def counts(self) -> tuple[int, int, int]:
        """Parties that wait, pairs that are dealt to, pairs that were."""
        with self._lock:
            return len(self._waiting), self._running_pairs, self._dealt

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._running_pairs += 1
        try:
            yield
            with self._lock:
                self._dealt += 1
        finally:
            with self._lock:
                self._running_pairs -= 1

    def _open(self, party: _Party) -> Channel:
        write(party.stream, DealerAccepted())
        return GrpcChannel(party.stream)
