"""What a server process and its workers are started with."""

from dataclasses import dataclass, field
from pathlib import Path

from pi_system.backends.registry import BACKENDS, Backends
from pi_system.program.reveal import Reveal
from pi_system.rpc.channel import AS_IT_IS, Wrap
from pi_system.rpc.tls import Identity

__all__ = ["ServerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Options of ``pi-server serve``; sent to worker processes.

    Attributes:
        artifact: folder of the exported model.
        listen: HOST:PORT, port 0 for any free one.
        dealer: HOST:PORT of the dealer.
        store_dir: private folder of offline material.
        allowed: backends served.
        max_sessions: sessions at once, each a process.
        insecure_provider: sessions may ask for insecure providers.
        profile: clients that ask are told how long every layer took here.
        reveal: the most that a client may learn.
        timeout_s: how long a silent client or dealer is waited for.
        backends: where backends are found.
        identity: the server's; None: plaintext, on this machine only.
        wrap: put around the channels of sessions; for measurements.
    """

    artifact: Path
    listen: str
    dealer: str | None
    store_dir: Path
    allowed: tuple[str, ...]
    max_sessions: int = 4
    insecure_provider: bool = False
    profile: bool = False
    reveal: Reveal = "label"
    timeout_s: float = 120.0
    backends: Backends = field(default_factory=lambda: BACKENDS)
    identity: Identity | None = None
    wrap: Wrap = AS_IT_IS
