"""The server's side of one session: handshake, then the client's commands until it says goodbye."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pi_system._proto.v1.control_pb2 import Done, Infer, Line, Prepare, Prepared, Ready, ServerEnvelope, ServerHello
from pi_system.artifact.model import Artifact
from pi_system.artifact.store import public_to_bytes
from pi_system.backends.base import PairedRuntime, ServerRuntime
from pi_system.backends.registry import AUTO, BACKENDS, Backends, find_backend, runnable, why_not
from pi_system.channel.base import Channel
from pi_system.channel.profile import OFF, LayerWatch
from pi_system.errors import ArtifactDigestError, ConfigError, RemoteProtocolError, RevealError
from pi_system.program.reveal import Reveal, check_reveal, tells_more
from pi_system.rpc.channel import GrpcChannel, Wrap, as_it_is
from pi_system.rpc.choosing import serve_choice
from pi_system.rpc.dealer_link import DealerDialer
from pi_system.rpc.envelope import ID_BYTES, read_client, write
from pi_system.rpc.frames import DATA, FrameStream
from pi_system.rpc.line_ends import LineEnd, LineOffer, offer_line
from pi_system.rpc.phase_profile import Phase, half_to_bytes, start_profiler
from pi_system.rpc.session_config import MAX_BATCH, Hello, SessionConfig, hello_from_proto, request_of, runtime_options
from pi_system.rpc.tls import Identity
from pi_system.rpc.watchdog import Watchdog
from pi_system.version import PROTOCOL_VERSION

MAX_COUNT: Final = 1 << 16
HELLO_S: Final = 5.0
"""A client that connects says hello at once: one that does not must not keep a session's place."""
SET_UP_S: Final = 15.0
"""While others wait, so much longer than between two commands a client may take to load the model and to meet. Shorter:
behind a slow link it never gets in then. Longer: who says hello and nothing more keeps a place longer."""
_LOG = logging.getLogger(__name__)


class Desk:
    """What gives a session its place; this one has places for everybody, for others see pi_server/desk.py."""

    def prepare(self, count: int) -> None:
        """The offline phase for ``count`` inferences may start. Raises BusyError, LimitError or ClientRefusedError."""

    def prepared(self) -> None:
        """It is over."""

    def infer(self, count: int) -> None:
        """The online phase for ``count`` pictures may start. Raises LimitError or ClientRefusedError."""

    def left(self) -> int | None:
        """Inferences that this client may ask for today; None: any number."""
        return None

    def watch(self, watchdog: Watchdog) -> None:
        """Idle phases may be made shorter than they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the phases of a session may take as a whole.

    Attributes:
        prepare_s: one offline phase; what it finished is kept.
        infer_s: one online phase.
    """

    prepare_s: float = 3600.0
    infer_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHost:
    """What a server offers to every session.

    Attributes:
        artifact: the model.
        store_dir: private folder of offline material.
        dealer: address of the dealer, None for backends without one.
        allowed: backends served.
        insecure_provider: sessions may ask for insecure providers.
        profile: a client that asks is told how long every layer took here.
        reveal: the most that a client may learn.
        timeout_s: how long a silent dealer is waited for, and a client's next command.
        limits: how long phases may take.
        backends: where backends are found.
        identity: the server's, for the dealer; None: plaintext.
        hello_s: how long a new stream's first message is waited for.
        wrap: put around the session's channels; for measurements.
        line_host: address of this machine on which sessions are offered lines (line_ends.py); empty: none.
    """

    artifact: Artifact
    store_dir: Path
    dealer: str | None
    allowed: tuple[str, ...]
    insecure_provider: bool = False
    profile: bool = False
    reveal: Reveal = "label"
    timeout_s: float = 120.0
    backends: Backends = field(default_factory=lambda: BACKENDS)
    identity: Identity | None = None
    hello_s: float = HELLO_S
    limits: Limits = field(default_factory=Limits)
    wrap: Wrap = as_it_is
    line_host: str = ""

    @property
    def offered(self) -> tuple[str, ...]:
        """Of the backends allowed those that run the model."""
        return runnable(self.artifact.public, self.allowed)

    def check_offered(self, backend: str) -> None:
        """Raise ConfigError unless it is one of those offered."""
        offered = self.offered
        if backend not in offered:
            why = why_not(self.artifact.public, backend)
            raise ConfigError(
                f"backend: expected one the server allows for this model ({', '.join(offered)}), "
                f"found {backend[:40]!r}" + (f"; {why}" if why else "")
            )

    def agree(self, config: SessionConfig) -> SessionConfig:
        """The session's configuration; ``auto`` stays, for the client to choose.

        Raises:
            ConfigError, RevealError, ArtifactDigestError: not offered.
        """
        if config.backend != AUTO:
            self.check_offered(config.backend)
        if config.insecure_provider and not self.insecure_provider:
            raise ConfigError("insecure provider: the server was not started with --insecure-provider")
        if config.reveal != "" and tells_more(config.reveal, self.reveal):
            raise RevealError(
                f"reveal: expected at most {self.reveal}, this server's policy (pi-server serve --reveal), "
                f"found {config.reveal} asked for"
            )
        check_reveal(self.artifact.public.graph, config.reveal or self.reveal)
        digest = self.artifact.public.digest
        if config.artifact_digest not in ("", digest):
            raise ArtifactDigestError(
                f"artifact: the server holds {digest[:16]}, the client {config.artifact_digest[:16]!r}"
            )
        return replace(config, reveal=config.reveal or self.reveal)


def read_hello(stream: FrameStream, host: SessionHost, on_request: Callable[[str], None] | None = None) -> Hello:
    """A client's first message, agreed to.

    Args:
        stream: to the client.
        host: what is offered.
        on_request: called with its request id before anything of it can be refused.

    Raises:
        ChannelError, ProtocolError, ConfigError, RevealError or ArtifactDigestError: it is none, or not offered.
    """
    said = read_client(stream, "hello", timeout_s=host.hello_s).hello
    if on_request is not None:
        on_request(request_of(said))
    hello = hello_from_proto(said)
    return replace(hello, config=host.agree(hello.config))


def serve_session(stream: FrameStream, host: SessionHost, hello: Hello | None = None, desk: Desk | None = None) -> None:
    """Run one session to its end.

    Args:
        stream: to the client.
        host: what is offered.
        hello: that was read and agreed to; None: it comes.
        desk: that gave the place.

    Raises:
        PiError: whatever ended it early; the caller fails the stream with it.
    """
    hello = hello or read_hello(stream, host)
    config = hello.config
    desk, watchdog = desk or Desk(), Watchdog(stream)
    desk.watch(watchdog)
    line = offer_line(stream, host.line_host, host.identity, host.wrap) if hello.line and host.line_host else None
    try:
        watchdog.expect("the session to be set up", host.timeout_s, spare_s=SET_UP_S)
        _greet(stream, host, config, desk.left(), line)
        channel = host.wrap(GrpcChannel(stream))
        if config.backend == AUTO:
            config = replace(config, backend=serve_choice(stream, channel))
            host.check_offered(config.backend)
        backend = find_backend(config.backend, host.backends)
        runtime = backend.make_server(host.artifact, runtime_options(config, host.store_dir))
        session = _Session(stream, channel, host, config, runtime, desk, watchdog, line.end if line else None)
        while session.step():
            pass
        stream.close()
    finally:
        watchdog.stop()
        if line is not None:
            line.end.close()


def _greet(
    stream: FrameStream, host: SessionHost, config: SessionConfig, left: int | None, line: LineOffer | None
) -> None:
    model, auto = b"" if config.artifact_digest else public_to_bytes(host.artifact), config.backend == AUTO
    hello = ServerHello(
        protocol_version=PROTOCOL_VERSION,
        artifact_digest=host.artifact.public.digest,
        public_model_bytes=len(model),
        profile=config.profile and host.profile,
        reveal=config.revealed,
        inferences_left=left,
        backend="" if auto else config.backend,
        offered=host.offered if auto else (),
        line=Line(port=line.port, token=line.token) if line else None,
    )
    write(stream, ServerEnvelope(hello=hello))
    if model:
        stream.write(model, DATA)


class _Session:
    def __init__(
        self,
        stream: FrameStream,
        channel: Channel,
        host: SessionHost,
        config: SessionConfig,
        runtime: ServerRuntime,
        desk: Desk,
        watchdog: Watchdog,
        line: LineEnd | None,
    ):
        self._stream, self._channel, self._host, self._config, self._runtime = stream, channel, host, config, runtime
        self._desk, self._watchdog, self._line = desk, watchdog, line
        self._profile = config.profile and host.profile
        self._arrived_ns = 0
        if isinstance(runtime, PairedRuntime):
            runtime.meet(self._channel)

    def step(self) -> bool:
        """Serve one command; False after the last."""
        self._watchdog.expect("a command", self._host.timeout_s, spare_s=0.0)
        envelope = read_client(self._stream, "prepare", "infer", "bye", timeout_s=self._host.timeout_s)
        self._arrived_ns = round(1e9 * self._stream.arrived_s)
        match envelope.WhichOneof("message"):
            case "prepare":
                self._prepare(envelope.prepare)
            case "infer":
                self._infer(envelope.infer)
            case _:
                return False
        return True

    def _prepare(self, command: Prepare) -> None:
        if not 1 <= command.count <= MAX_COUNT or len(command.pairing_id) != ID_BYTES:
            raise RemoteProtocolError(f"prepare: expected a count of 1 to {MAX_COUNT} and a pairing id of 16 bytes")
        self._desk.prepare(command.count)
        write(self._stream, ServerEnvelope(ready=Ready()))
        self._watchdog.expect("the offline phase", self._host.limits.prepare_s)
        dealer = DealerDialer(
            address=self._host.dealer,
            pairing_id=command.pairing_id,
            role="server",
            backend=self._config.backend,
            count=command.count,
            wrap=self._host.wrap,
            connect_timeout_s=10.0,
            timeout_s=self._host.timeout_s,
            identity=self._host.identity,
        )
        self._stream.when_dead(dealer.abort)
        _LOG.info("preparing %d inferences", command.count)
        watch = self._watch("offline")
        self._runtime.prepare(command.count, watch.watch(self._channel), lambda request: watch.watch(dealer(request)))
        dealer.close()
        half = self._half(watch, time.monotonic_ns())
        prepared = Prepared(dealer_bytes=dealer.payload_bytes(), profile_bytes=len(half))
        self._write(ServerEnvelope(prepared=prepared), half)
        self._desk.prepared()
        _LOG.info("prepared %d inferences", command.count)

    def _infer(self, command: Infer) -> None:
        ids = tuple(command.ids)
        if not 1 <= len(ids) <= MAX_BATCH or len(set(ids)) != len(ids):
            raise RemoteProtocolError(f"infer: expected 1 to {MAX_BATCH} different ids, found {len(ids)}")
        self._desk.infer(len(ids))
        self._watchdog.expect("the online phase", self._host.limits.infer_s)
        self._runtime.reserve(ids)
        replied_ns = time.monotonic_ns()
        line = self._line.idle() if self._line is not None and command.line else None
        write(self._stream, ServerEnvelope(ready=Ready(line=line is not None)))
        _LOG.debug("uses %s", " ".join(ids))
        watch = self._watch("online")
        self._runtime.infer(ids, watch.watch(line or self._channel))
        half = self._half(watch, replied_ns)
        self._write(ServerEnvelope(done=Done(profile_bytes=len(half))), half)
        _LOG.info("served %d inferences", len(ids))

    def _watch(self, phase: Phase) -> LayerWatch:
        if not self._profile:
            return OFF
        return start_profiler(phase, self._channel, self._host.artifact.public.graph)

    def _half(self, watch: LayerWatch, replied_ns: int) -> bytes:
        """The message of this side's profile, empty where there is none."""
        if not watch.on:
            return b""
        return half_to_bytes(watch.stop(), arrived_ns=self._arrived_ns, replied_ns=replied_ns)

    def _write(self, envelope: ServerEnvelope, half: bytes) -> None:
        write(self._stream, envelope)
        if half:
            self._stream.write(half, DATA)
