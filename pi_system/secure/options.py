"""What a session's runtime is made of, besides the model."""

from dataclasses import dataclass
from pathlib import Path

from pi_system.program.reveal import Reveal


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What a runtime may need besides the model: of the session's configuration what both parties agreed on.

    Attributes:
        backend: its name in the registry.
        client_id: 16 bytes under which the server keeps this client's offline material, in hex.
        reveal: what the client learns.
        insecure_provider: use a provider that is not secure; both parties said so.
        store_dir: private folder for offline material of all sessions; what belongs to this one is kept apart by
            the client's id and the model's digest.
    """

    backend: str
    client_id: str
    reveal: Reveal
    insecure_provider: bool
    store_dir: Path
