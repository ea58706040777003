"""Which pseudorandom stream each mask and share of an inference comes from.

A picture has three seeds: one of each party and a public one. Every stream has its own label, so no keystream
position is used twice; dealer and party derive the same stream from the same seed and never send it.
"""

from dataclasses import dataclass

from pi_system.artifact.graph import WeightedNode
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg
from pi_system.secure.layout import Bundle, BundleDraft


@dataclass(frozen=True, slots=True)
class PartySeed:
    """One party's seed of one picture; the dealer holds both parties'."""

    seed: bytes

    def __repr__(self) -> str:
        """Never shows the seed."""
        return "PartySeed(...)"

    def fresh_mask(self, name: str, count: int, ring_bits: int) -> RingArray:
        """The client's fresh mask r of a value, ``count`` ring elements."""
        return Prg(self.seed).child("mask", name).ring((count,), ring_bits)

    def linear_share(self, node: WeightedNode, ring_bits: int) -> RingArray:
        """The server's share c_s of a weighted layer's correlation, (1, *node.shape)."""
        return Prg(self.seed).child("linear", node.name).ring((1, *node.shape), ring_bits)

    def gate_seed(self, name: str) -> bytes:
        """This party's seed of one gate's key."""
        return Prg(self.seed).child_seed("gate", name)


def party_seed(bundle: Bundle | BundleDraft) -> PartySeed:
    """The seed that a bundle holds."""
    return PartySeed(bundle.section("seed").tobytes())


def fixed_mask(weight_seed: bytes, node: WeightedNode, ring_bits: int) -> RingArray:
    """The fixed weight mask B of one layer, of the weights' shape, the same for every inference of a model."""
    return Prg(weight_seed).child("weight", node.name).ring(node.weight_shape, ring_bits)


def gate_salt(salt: bytes, name: str) -> bytes:
    """The public salt of one gate, from that of its picture: no two gates compare under the same public AES keys."""
    return Prg(salt).child_seed("salt", name)
