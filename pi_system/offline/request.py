"""The dealer's request: public bytes that both parties send and the dealer compares."""

from pi_system.artifact.model import PublicArtifact
from pi_system.artifact.store import public_from_bytes, public_to_bytes
from pi_system.errors import RemoteProtocolError
from pi_system.protocols.relu_dcf import VARIANTS, DcfRelu, Variant

__all__ = ["make_request", "parse_request"]


def make_request(public: PublicArtifact, variant: Variant) -> bytes:
    """One byte for the comparison variant, then the public model."""
    return bytes([VARIANTS.index(variant)]) + public_to_bytes(public)


def parse_request(request: bytes) -> tuple[PublicArtifact, DcfRelu]:
    """Check and open a request. Raises RemoteProtocolError or ArtifactError."""
    if not request or request[0] >= len(VARIANTS):
        raise RemoteProtocolError(f"request: expected a comparison variant of {VARIANTS}")
    return public_from_bytes(request[1:]), DcfRelu(VARIANTS[request[0]])
