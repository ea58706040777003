"""The client's side of one session: connect, agree on the model, prepare, infer; with the cost of each."""

import logging
import os
import time
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pi_system._proto.v1.control_pb2 import Bye, ClientEnvelope, Infer, Prepare, ServerHello
from pi_system.artifact.model import PublicArtifact
from pi_system.artifact.store import public_from_bytes
from pi_system.backends.base import (
    ClientRuntime,
    PairedClient,
    PairedRuntime,
    QuickRuntime,
    SizedRuntime,
    StoringRuntime,
)
from pi_system.backends.registry import AUTO, find_backend
from pi_system.channel.base import Channel, ChannelCounters
from pi_system.channel.profile import OFF, LayerWatch, Piece
from pi_system.errors import (
    ArtifactDigestError,
    ConfigError,
    FrameTooLargeError,
    InputError,
    LimitError,
    PiError,
    RemoteProtocolError,
)
from pi_system.program.encoding import check_values
from pi_system.program.reveal import Reveal
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.choosing import Chooser, Explained, Offer, measure_link, tell_choice
from pi_system.rpc.dealer_link import DealerDialer
from pi_system.rpc.endpoint import Endpoint, as_pi_error, enter
from pi_system.rpc.envelope import ID_BYTES, read_server, write
from pi_system.rpc.line_ends import LineEnd, can_have_lines, dial_line
from pi_system.rpc.phase_cost import OnlineCost, PreparationCost
from pi_system.rpc.phase_profile import (
    MAX_PROFILE_BYTES,
    Phase,
    PhaseProfile,
    half_from_bytes,
    start_profiler,
)
from pi_system.rpc.session_config import (
    MAX_BATCH,
    Hello,
    SessionConfig,
    check_granted,
    check_version,
    granted,
    runtime_options,
)
from pi_system.rpc.tls import host_of

MAX_MODEL_BYTES: Final = 512 << 20
BATCH_BYTES: Final = 1 << 30
"""Material of one batch in memory. Larger: fewer round trips a picture, more memory in a worker."""
LINE_BYTES: Final = 1 << 20
"""Online phases that send no more at once take the line. Larger: layers of several chunks (secure/turns.py), in which a
party would send where it could compute. Smaller: more of them pay for a hand-over a message."""
_LOG = logging.getLogger(__name__)


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class ClientSession:
    """An open session; a context manager. After an error it is dead.

    Attributes:
        public: the public model.
        request: what both sides' logs call this session.
        config: what was agreed on; ``config.revealed`` says what the client learns.
        server_profiles: the server gives its half of profiles.
        choice: what ``auto`` stands for, and why; None: a backend was named.
        left: inferences that the server said are left of today, less those of this session; None: any number.
        profiles: the last call's, by phase; empty unless ``config.profile``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        config: SessionConfig,
        public: PublicArtifact | None = None,
        *,
        prepares: bool = False,
        ticket: str = "",
        chooser: Chooser | None = None,
    ):
        """Connect, wait for a place, and agree.

        Args:
            endpoint: where to.
            config: the session's configuration. With an empty digest and no ``public``, the server sends its model.
            public: the client's own copy of the public model; its digest is compared with the server's.
            prepares: it will start with ``prepare``: the server keeps some places for those that will not.
            ticket: of a BusyError.
            chooser: says which backend ``auto`` stands for; None: one is named.

        Raises:
            PeerUnavailableError: no server.
            BusyError: no place in time.
            ArtifactDigestError: the server holds another model.
            ConfigError: the server does not offer this configuration.
        """
        self._endpoint = endpoint
        self.request = os.urandom(8).hex()
        asked = replace(config, artifact_digest=public.public.digest) if public else config
        line = endpoint.line and can_have_lines(endpoint.identity)
        said = Hello(config=asked, prepares=prepares, ticket=ticket, request=self.request, line=line)
        self._connection, hello = enter(endpoint, said)
        self._alive = True
        self._dealing: DealerDialer | None = None
        self._connection.stream.when_dead(self._ended)
        try:
            check_version(hello.protocol_version)
            self._line = self._dial_line(hello) if line and hello.HasField("line") else None
            self.public = public or self._receive_model(hello)
            found = self.public.public.digest
            if hello.artifact_digest != found or asked.artifact_digest not in ("", found):
                raise ArtifactDigestError(f"artifact: expected {hello.artifact_digest[:16]!r}, found {found[:16]}")
            check_granted(asked, hello.backend)
            self.server_profiles = hello.profile
            self.left = hello.inferences_left if hello.HasField("inferences_left") else None
            self.profiles: dict[Phase, PhaseProfile] = {}
            self._channel: Channel = endpoint.wrap(GrpcChannel(self._connection.stream))
            reveal = granted(asked, hello.reveal)
            self.choice = self._choose(hello, reveal, chooser) if asked.backend == AUTO else None
            chosen = self.choice.backend if self.choice else asked.backend
            self.config = replace(asked, artifact_digest=found, backend=chosen, reveal=reveal)
            options = runtime_options(self.config, endpoint.store_dir)
            backend = find_backend(self.config.backend, endpoint.backends)
            self._runtime: ClientRuntime = backend.make_client(self.public, options)
            if isinstance(self._runtime, PairedRuntime):
                self._runtime.meet(self._channel)
        except BaseException as error:
            self._abort(error)
            raise

    def _dial_line(self, hello: ServerHello) -> LineEnd:
        offered, own = hello.line, self._endpoint
        host = host_of(own.server)
        return dial_line(self._connection.stream, host, offered.port, offered.token, own.identity, own.wrap)

    def _receive_model(self, hello: ServerHello) -> PublicArtifact:
        if not 0 < hello.public_model_bytes <= MAX_MODEL_BYTES:
            raise FrameTooLargeError(
                f"public model: expected at most {MAX_MODEL_BYTES}, found {hello.public_model_bytes} bytes announced"
            )
        return public_from_bytes(bytes(self._connection.stream.read_data(hello.public_model_bytes)))

    def _choose(self, hello: ServerHello, reveal: Reveal, chooser: Chooser | None) -> Explained:
        """What ``auto`` stands for, told to the server."""
        if chooser is None:
            raise ConfigError(f"backend: expected a name, or who chooses one, found {AUTO}")
        stream = self._connection.stream
        offer = Offer(
            public=self.public,
            offered=tuple(hello.offered),
            reveal=reveal,
            measure=lambda: measure_link(stream, self._channel),
        )
        choice = chooser(offer)
        tell_choice(stream, choice.backend)
        return choice

    @property
    def alive(self) -> bool:
        """Nothing has ended it yet, as far as this end knows."""
        return self._alive

    def available(self) -> int:
        """How many inferences are prepared."""
        return self._runtime.available()

    @property
    def batch_limit(self) -> int:
        """Pictures of one ``infer`` whose material takes a reasonable part of memory, on both sides."""
        each = self._runtime.inference_bytes if isinstance(self._runtime, SizedRuntime) else 0
        return max(1, min(MAX_BATCH, BATCH_BYTES // max(each, 1)))

    def disk_bytes(self, count: int) -> int:
        """What ``prepare`` will take of this side's disk."""
        return self._runtime.disk_bytes(count) if isinstance(self._runtime, StoringRuntime) else 0

    def prepared_bytes(self) -> int:
        """Payload of this client's connections so far in ``prepare``, for who looks on from another thread."""
        counters = self._channel.counters
        dealt = self._dealing.payload_bytes() if self._dealing is not None else 0
        return counters.sent_bytes + counters.received_bytes + dealt

    def prepare(self, count: int) -> PreparationCost:
        """Offline phase for ``count`` inferences.

        Raises:
            LimitError, StorageError: there is no room for them, here or at the server; nothing was made.
            BusyError: the server has no place for one; a new session that ``prepares`` waits for it.
            CorrelationError, ChannelError, ConfigError: the session is dead.
        """
        if isinstance(self._runtime, StoringRuntime):
            self._runtime.check_room(count)
        pairing_id = os.urandom(ID_BYTES)
        dealer = self._dealing = self._dealer(count, pairing_id)
        self._connection.stream.when_dead(dealer.abort)
        self._channel.counters = ChannelCounters()
        started_s = time.perf_counter()
        try:
            asked_ns = time.monotonic_ns()
            self._command(ClientEnvelope(prepare=Prepare(count=count, pairing_id=pairing_id)))
            # Sent before, messages would meet a closed connection where this is refused, and their reset the refusal.
            read_server(self._connection.stream, "ready")
            watch = self._watch("offline")
            self._runtime.prepare(count, watch.watch(self._channel), lambda request: watch.watch(dealer(request)))
            pieces = watch.stop()
            reply = read_server(self._connection.stream, "prepared").prepared
            dealer.close()
            offline_ms = 1000 * (time.perf_counter() - started_s)
            if watch.on:
                self._keep("offline", offline_ms, pieces, asked_ns, self._arrived_ns(), reply.profile_bytes)
        except BaseException as error:
            dealer.abort(as_pi_error(error))
            self._abort(error)
            raise
        peer_bytes = self._channel.counters.sent_bytes + self._channel.counters.received_bytes
        return PreparationCost(
            count=count,
            offline_ms=offline_ms,
            offline_bytes=peer_bytes + dealer.payload_bytes() + reply.dealer_bytes,
            peer_bytes=peer_bytes,
            client_dealer_bytes=dealer.payload_bytes(),
            server_dealer_bytes=reply.dealer_bytes,
        )

    def check_left(self, count: int) -> None:
        """Before material is marked used: end the session with LimitError if ``count`` is more than today has left."""
        if self.left is not None and count > self.left:
            error = LimitError(
                f"inferences: expected at most {self.left}, which are left of today (UTC), found {count} asked for"
            )
            self._abort(error)
            raise error

    def infer(self, pictures: NDArray[np.float32]) -> tuple[NDArray[np.float64], OnlineCost]:
        """Online phase: preprocessed pictures (N, C, H, W) to what is revealed, and what it cost.

        Returns:
            Logits or scores (N, classes), or class indices (N, 1), by ``config.revealed``; and the cost.

        Raises:
            InputError: more pictures than MAX_BATCH, or values that do not fit the ring; nothing was spent.
            LimitError: more than the server lets this client have today; the session is dead. Nothing was spent, unless
                other sessions under its certificate used the day up meanwhile.
            CorrelationExhaustedError: fewer than N inferences are prepared; the session stays usable.
            ChannelError, ProtocolError: the session is dead.
        """
        if not 1 <= len(pictures) <= MAX_BATCH:
            raise InputError(f"batch: expected 1 to {MAX_BATCH} pictures, found {len(pictures)}")
        check_values(pictures, [f"picture {index}" for index in range(len(pictures))], self.public.public)
        self.check_left(len(pictures))
        wanted_s = time.perf_counter()
        ids = self._runtime.reserve(len(pictures))
        _LOG.debug("request %s uses %s", self.request, " ".join(ids))
        try:
            asked_ns, line = time.monotonic_ns(), self._idle_line(len(pictures))
            self._command(ClientEnvelope(infer=Infer(ids=ids, line=line is not None)))
            channel = self._way(line, read_server(self._connection.stream, "ready").ready.line)
            answered_ns = self._arrived_ns()
            if isinstance(self._runtime, PairedClient):
                self._runtime.confirm(ids)
            counters = channel.counters = ChannelCounters()
            started_s = time.perf_counter()
            watch = self._watch("online")
            logits = self._runtime.infer(pictures, ids, watch.watch(channel))
            online_ms = 1000 * (time.perf_counter() - started_s)
            pieces = watch.stop()
            reply = read_server(self._connection.stream, "done").done
            self.left = None if self.left is None else self.left - len(pictures)
            if watch.on:
                self._keep("online", online_ms, pieces, asked_ns, answered_ns, reply.profile_bytes)
        except BaseException as error:
            self._abort(error)
            raise
        return logits, OnlineCost(
            ready_ms=1000 * (started_s - wanted_s),
            online_ms=online_ms,
            rounds=counters.rounds,
            client_to_server_bytes=counters.sent_bytes,
            server_to_client_bytes=counters.received_bytes,
            frame_bytes=counters.frame_bytes,
        )

    def _idle_line(self, count: int) -> Channel | None:
        """The line, if it is there and the online phase of ``count`` pictures is better off with it."""
        burst = self._runtime.burst_bytes if isinstance(self._runtime, QuickRuntime) else LINE_BYTES + 1
        return self._line.idle() if self._line is not None and count * burst <= LINE_BYTES else None

    def _way(self, line: Channel | None, taken: bool) -> Channel:
        """The channel of a phase, ``taken``: the server's word. Raises RemoteProtocolError: it has none to take."""
        if not taken:
            return self._channel
        if line is None:
            raise RemoteProtocolError("online phase: expected it on the stream, found a line that was not asked for")
        return line

    def _ended(self, error: PiError) -> None:
        self._alive = False

    def close(self) -> None:
        """Say goodbye and disconnect; safe to call twice."""
        self._alive = False
        try:
            self._command(ClientEnvelope(bye=Bye()))
        except PiError:
            pass  # the session had ended before
        except BaseException as error:  # such as Ctrl-C
            self._abort(error)
            raise
        self._connection.close()
        self._close_runtime()

    def __enter__(self) -> "ClientSession":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or abort when an error ends the block."""
        if error is None:
            self.close()
        else:
            self._abort(error)

    def _command(self, envelope: ClientEnvelope) -> None:
        write(self._connection.stream, envelope)

    def _watch(self, phase: Phase) -> LayerWatch:
        return start_profiler(phase, self._channel, self.public.public.graph) if self.config.profile else OFF

    def _arrived_ns(self) -> int:
        return round(1e9 * self._connection.stream.arrived_s)

    def _keep(
        self,
        phase: Phase,
        total_ms: float,
        client: tuple[Piece, ...],
        asked_ns: int,
        answered_ns: int,
        profile_bytes: int,
    ) -> None:
        """Note the profile of a phase; the server's half follows on the stream if it promised one."""
        server, clock_error_us = None, None
        if self.server_profiles:
            if not 0 < profile_bytes <= MAX_PROFILE_BYTES:
                raise FrameTooLargeError(
                    f"profile: expected 1 to {MAX_PROFILE_BYTES}, found {profile_bytes} bytes announced"
                )
            data = bytes(self._connection.stream.read_data(profile_bytes))
            half = half_from_bytes(data, phase, self.public.public.graph)
            server, clock_error_us = half.on_clock_of(asked_ns, answered_ns)
        self.profiles[phase] = PhaseProfile(
            phase=phase, total_ms=total_ms, client=client, server=server, clock_error_us=clock_error_us
        )

    def _dealer(self, count: int, pairing_id: bytes) -> DealerDialer:
        return DealerDialer(
            address=self._endpoint.dealer,
            pairing_id=pairing_id,
            role="client",
            backend=self.config.backend,
            count=count,
            wrap=self._endpoint.wrap,
            connect_timeout_s=self._endpoint.connect_timeout_s,
            timeout_s=self._endpoint.timeout_s,
            identity=self._endpoint.identity,
        )

    def _abort(self, error: BaseException) -> None:
        if isinstance(error, PiError):
            error.request = self.request
        self._connection.abort(as_pi_error(error))
        self._close_runtime()

    def _close_runtime(self) -> None:
        line = getattr(self, "_line", None)
        if line is not None:
            line.close()
        runtime = getattr(self, "_runtime", None)  # there is none yet when the handshake fails
        if isinstance(runtime, _Closable):
            runtime.close()
