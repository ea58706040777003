"""The server's step; the client has none."""

from pi_system.protocols.truncation.cost import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray


def truncate(spec: TruncationSpec, share: RingArray, offset: RingArray, correction: RingArray) -> RingArray:
    """D of all elements: ``share`` is y_0, ``offset`` and ``correction`` the server's material, (N, n) each."""
    ring = Ring(spec.ring_bits)
    opened: RingArray = ring.reduce(share + offset) >> ring.dtype.type(spec.shift)
    return opened - correction
