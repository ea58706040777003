"""How a comparison of k - 1 bits is cut: leaves of 2 to 4 bits, groups of up to 3 leaves, up to 3 groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

from pi_system.errors import ConfigError
from pi_system.kernels.gmw import gmw_word_bytes
from pi_system.protocols.relu_gmw.merge import Merge, merge

__all__ = ["MAX_COMPARISON_BITS", "Plan", "plan"]

_WIDTHS = (4, 3, 2)
_GROUP = 3
MAX_COMPARISON_BITS = _GROUP * _GROUP * _WIDTHS[0] + 1
_SILENT_COT_BITS = 0.75  # what one COT costs by Ferret


@dataclass(frozen=True)
class Plan:
    """The tree of one comparison; most significant first everywhere.

    Attributes:
        bits: bits compared, k - 1.
        widths: bits of every leaf; together at least ``bits``.
        groups: leaves of every group.
    """

    bits: int
    widths: bytes
    groups: tuple[int, ...]

    @cached_property
    def word_bytes(self) -> int:
        """Bytes of the leaves' tables an element."""
        return gmw_word_bytes(self.widths, self.bits)

    @cached_property
    def level1(self) -> tuple[Merge, ...]:
        """Merges of the groups; the last, least significant, needs no "equal"."""
        return tuple(merge(size, i + 1 < len(self.groups)) for i, size in enumerate(self.groups))

    @cached_property
    def level2(self) -> Merge:
        """The merge of the groups' results."""
        return merge(len(self.groups), False)

    @property
    def leaf_cots(self) -> int:
        """COTs an element for the leaves."""
        return sum(self.widths)

    @property
    def product_cots(self) -> int:
        """COTs an element for the merges."""
        return sum(len(m.monomials) for m in (*self.level1, self.level2))

    @property
    def reply_planes(self) -> int:
        """Bits an element from the client after the leaves."""
        return sum(m.message_planes for m in self.level1)

    @property
    def offline_planes(self) -> tuple[int, int]:
        """Coefficients sent offline an element: by the server, by the client."""
        return sum(len(m.fixed) for m in self.level1), len(self.level2.fixed)

    @property
    def weight(self) -> float:
        """Bits an element that depend on the cut."""
        online = 8 * self.word_bytes + self.reply_planes + self.level2.message_planes
        cots = self.leaf_cots + self.product_cots
        return online + sum(self.offline_planes) + self.leaf_cots + _SILENT_COT_BITS * cots


@lru_cache
def plan(comparison_bits: int) -> Plan:
    """The cut of fewest bits.

    Raises:
        ConfigError: more than 9 leaves of 4 bits would be needed.
    """
    if not 2 <= comparison_bits <= MAX_COMPARISON_BITS:
        raise ConfigError(f"comparison bits: expected 2..{MAX_COMPARISON_BITS}, found {comparison_bits}")
    return min(_cuts(comparison_bits - 1), key=lambda cut: cut.weight)


def _cuts(bits: int) -> Iterator[Plan]:
    """All cuts worth a look: of the leaves only how many have which width matters, the widest being last."""
    sizes = [size for n in range(1, _GROUP + 1) for size in product(range(1, _GROUP + 1), repeat=n)]
    for groups in sizes:
        leaves = sum(groups)
        for wide in range(leaves + 1):
            for middle in range(leaves + 1 - wide):
                widths = bytes([2] * (leaves - wide - middle) + [3] * middle + [4] * wide)
                if sum(widths) - widths[0] < bits <= sum(widths):
                    yield Plan(bits, widths, groups)
