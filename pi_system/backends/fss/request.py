"""The dealer's request: public bytes that both parties send and the dealer compares."""

from pi_system.artifact.model import PublicArtifact
from pi_system.artifact.store import public_from_bytes, public_to_bytes
from pi_system.errors import RemoteProtocolError
from pi_system.program.reveal import REVEALS, Reveal


def make_request(public: PublicArtifact, reveal: Reveal) -> bytes:
    """A byte for what is revealed, then the public model."""
    return bytes([REVEALS.index(reveal)]) + public_to_bytes(public)


def parse_request(request: bytes) -> tuple[PublicArtifact, Reveal]:
    """Check and open a request. Raises RemoteProtocolError or ArtifactError."""
    if not request or request[0] >= len(REVEALS):
        raise RemoteProtocolError(f"request: expected one of {REVEALS}")
    return public_from_bytes(request[1:]), REVEALS[request[0]]
