"""The dealer's request: public bytes that both parties send and the dealer compares."""

from pi_system.artifact.model import PublicArtifact
from pi_system.artifact.store import public_from_bytes, public_to_bytes
from pi_system.errors import RemoteProtocolError
from pi_system.program.reveal import REVEALS, Reveal
from pi_system.protocols.relu_dcf import VARIANTS, DcfRelu, Variant

__all__ = ["make_request", "parse_request"]


_HEAD_BYTES = 2


def make_request(public: PublicArtifact, variant: Variant, reveal: Reveal) -> bytes:
    """A byte for the comparison variant, one for what is revealed, then the public model."""
    return bytes([VARIANTS.index(variant), REVEALS.index(reveal)]) + public_to_bytes(public)


def parse_request(request: bytes) -> tuple[PublicArtifact, DcfRelu, Reveal]:
    """Check and open a request. Raises RemoteProtocolError or ArtifactError."""
    if len(request) < _HEAD_BYTES or request[0] >= len(VARIANTS) or request[1] >= len(REVEALS):
        raise RemoteProtocolError(f"request: expected a comparison variant of {VARIANTS} and one of {REVEALS}")
    return public_from_bytes(request[_HEAD_BYTES:]), DcfRelu(VARIANTS[request[0]]), REVEALS[request[1]]
