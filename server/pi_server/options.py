"""What a server process and its workers are started with."""

from dataclasses import dataclass, field

from pi_system.cli.logs import LogOptions
from pi_system.program.reveal import check_reveal
from pi_system.rpc.server_session import SessionHost


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions(SessionHost):
    """Options of ``pi-server serve``; sent to worker processes. The artifact is read once: its folder may change.

    Attributes:
        listen: HOST:PORT, port 0 for any free one.
        max_sessions: sessions at once, each a process.
        reserved: of them, how many stay free of sessions that prepare.
        drain_s: how long sessions may go on once the server was told to stop.
        client_limits: of clients that have none of their own, by the names in LIMITS of clients.py; missing: none.
        room_bytes: of all clients' material together.
        keep_s: how long material is kept that nobody uses.
        log: how the server and its workers log.
        threads: cores that a session's process computes with; None: all that it may run on.
    """

    listen: str
    max_sessions: int = 4
    reserved: int = 1
    drain_s: float = 30.0
    client_limits: dict[str, int] = field(default_factory=dict)
    room_bytes: int = 64_000_000_000
    keep_s: float = 90 * 86400.0
    log: LogOptions = field(default_factory=lambda: LogOptions(program="pi-server"))
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse to reveal what the network does not have. Raises ConfigError."""
        check_reveal(self.artifact.public.graph, self.reveal)

    @property
    def max_preparing(self) -> int:
        """Sessions that may be in the offline phase at once, at least one."""
        return max(1, self.max_sessions - self.reserved)
