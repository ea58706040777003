"""What the demo's page asks of its client process."""

from dataclasses import dataclass

from pi_system.program.reveal import Reveal


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One inference.

    Attributes:
        picture: file.
        folder: for what the page shows of it.
        server: HOST:PORT, as ``dealer``.
        dealer: of backends that have one.
        backend: by name.
        reveal: what the client asks to learn.
        keys: the client's folder.
        store: private folder of material.
    """

    picture: str
    folder: str
    server: str
    dealer: str
    backend: str
    reveal: Reveal
    keys: str
    store: str
