"""The dealer's request: public bytes that both parties send and the dealer compares."""

from pi_system.artifact.model import PublicArtifact
from pi_system.artifact.store import public_from_bytes, public_to_bytes

__all__ = ["make_request", "parse_request"]


def make_request(public: PublicArtifact) -> bytes:
    """The public model."""
    return public_to_bytes(public)


def parse_request(request: bytes) -> PublicArtifact:
    """Check and open a request. Raises ArtifactError."""
    return public_from_bytes(request)
