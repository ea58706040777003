"""What a server process and its workers are started with."""

from dataclasses import dataclass, field
from pathlib import Path

from pi_system.artifact.model import Artifact
from pi_system.backends.registry import BACKENDS, Backends
from pi_system.cli.logs import LogOptions
from pi_system.program.reveal import Reveal
from pi_system.rpc.channel import Wrap, as_it_is
from pi_system.rpc.server_session import Limits
from pi_system.rpc.tls import Identity

__all__ = ["ServerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Options of ``pi-server serve``; sent to worker processes.

    Attributes:
        artifact: the exported model, read once: what happens to its folder meanwhile changes nothing.
        listen: HOST:PORT, port 0 for any free one.
        dealer: HOST:PORT of the dealer.
        store_dir: private folder of offline material.
        allowed: backends served.
        max_sessions: sessions at once, each a process.
        reserved: of them, how many stay free of sessions that prepare.
        insecure_provider: sessions may ask for insecure providers.
        profile: clients that ask are told how long every layer took here.
        reveal: the most that a client may learn.
        timeout_s: how long a silent client or dealer is waited for.
        limits: how long the phases of a session may take.
        drain_s: how long sessions may go on once the server was told to stop.
        backends: where backends are found.
        identity: the server's; None: plaintext, on this machine only.
        wrap: put around the channels of sessions; for measurements.
        client_limits: of clients that have none of their own, by the names in LIMITS of clients.py; missing: none.
        room_bytes: of all clients' material together.
        keep_s: how long material is kept that nobody uses.
        log: how the server and its workers log.
    """

    artifact: Artifact
    listen: str
    dealer: str | None
    store_dir: Path
    allowed: tuple[str, ...]
    max_sessions: int = 4
    reserved: int = 1
    insecure_provider: bool = False
    profile: bool = False
    reveal: Reveal = "label"
    timeout_s: float = 120.0
    limits: Limits = field(default_factory=Limits)
    drain_s: float = 30.0
    backends: Backends = field(default_factory=lambda: BACKENDS)
    identity: Identity | None = None
    wrap: Wrap = as_it_is
    client_limits: dict[str, int] = field(default_factory=dict)
    room_bytes: int = 64_000_000_000
    keep_s: float = 90 * 86400.0
    log: LogOptions = field(default_factory=lambda: LogOptions(program="pi-server"))

    @property
    def max_preparing(self) -> int:
        """Sessions that may be in the offline phase at once, at least one."""
        return max(1, self.max_sessions - self.reserved)
