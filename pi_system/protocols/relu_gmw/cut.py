"""How a comparison of k - 1 bits is cut: leaves of 2 to 4 bits, up to 3 a group, 4 groups, or more beyond 38 bits.

Where t low bits are dropped, leaves and groups do not cross bit t: the carry out of the low groups is a node of the
tree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

from pi_system.errors import ConfigError
from pi_system.kernels.gmw import gmw_word_bytes
from pi_system.protocols.relu_gmw.level import Level
from pi_system.protocols.relu_gmw.merge import Merge, last_merge, merge

_GROUP = 3
_LEAVES = 16  # of a comparison, in kernels/src/gmw.h
_GROUPS = {38: 4, 59: 6}
"""The most, up to so many comparison bits: 37 bits in two parts are always 4 groups of 12 bits, 58 are 6. An opening of
the last merge is a subset of its groups: each group more doubles them."""
MAX_COMPARISON_BITS = max(_GROUPS)
"""The widest comparison: as wide as rings of homomorphic encryption."""
_SILENT_COT_BITS = 0.75  # what one COT costs by Ferret


@dataclass(frozen=True)
class Cut:
    """The tree of one comparison; most significant first everywhere.

    Attributes:
        bits: bits compared, k - 1.
        widths: bits of every leaf; together at least ``bits``.
        groups: leaves of every group.
        low_groups: how many of the last groups are below bit t; 0 for t = 0.
    """

    bits: int
    widths: bytes
    groups: tuple[int, ...]
    low_groups: int

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
        """The merge of the groups' results, to the comparison's result and the carry out of the low groups."""
        return last_merge(len(self.groups), self.low_groups)

    @cached_property
    def levels(self) -> tuple[Level, Level]:
        """Both levels as they are computed online."""
        return Level(self.level1), Level([self.level2])

    @property
    def leaf_cots(self) -> int:
        """COTs an element for the leaves."""
        return sum(self.widths)

    @property
    def product_cots(self) -> int:
        """COTs an element for the merges."""
        return sum(len(m.openings) for m in (*self.level1, self.level2))

    @property
    def cots(self) -> int:
        """COTs an element from server to client."""
        return self.leaf_cots + self.product_cots

    @property
    def reply_planes(self) -> int:
        """Bits an element from the client after the leaves."""
        return sum(m.message_planes for m in self.level1)

    @property
    def offline_planes(self) -> tuple[int, int]:
        """Bits sent offline an element: by the server (coefficients), by the client (choices and coefficients)."""
        return sum(len(m.fixed) for m in self.level1), self.leaf_cots + len(self.level2.fixed)

    @property
    def weight(self) -> float:
        """Bits an element that depend on the cut, online ones twice: somebody waits for them."""
        online = 8 * self.word_bytes + self.reply_planes + self.level2.message_planes
        return 2 * online + sum(self.offline_planes) + _SILENT_COT_BITS * self.cots


@lru_cache
def lightest_cut(comparison_bits: int, shift: int = 0) -> Cut:
    """The cut of least weight for k = ``comparison_bits`` and t = ``shift``.

    Raises:
        ConfigError: k is out of range.
    """
    if not 2 <= comparison_bits <= MAX_COMPARISON_BITS:
        raise ConfigError(f"comparison bits: expected 2..{MAX_COMPARISON_BITS}, found {comparison_bits}")
    groups = next(groups for most, groups in _GROUPS.items() if comparison_bits <= most)
    return min(_cuts(comparison_bits - 1, shift, groups), key=lambda cut: cut.weight)


def _cuts(bits: int, low: int, groups: int) -> Iterator[Cut]:
    """All cuts worth a look, of so many groups or fewer."""
    for high_groups in _groupings(groups - (low > 0)):
        high = _leaves(bits - low, sum(high_groups), exact=False)
        for low_groups in _groupings(groups - len(high_groups)) if low else [()]:
            below = _leaves(low, sum(low_groups), exact=True) if low else b""
            if high is not None and below is not None and len(high + below) <= _LEAVES:
                yield Cut(bits, high + below, (*high_groups, *low_groups), len(low_groups))


def _groupings(most: int) -> list[tuple[int, ...]]:
    return [sizes for n in range(1, most + 1) for sizes in product(range(1, _GROUP + 1), repeat=n)]


@lru_cache
def _leaves(bits: int, leaves: int, *, exact: bool) -> bytes | None:
    """The cheapest widths of ``leaves`` leaves that hold ``bits`` bits (just these if ``exact``), the widest last.

    Of the leaves only how many have which width matters. None if there are none.
    """
    if bits == 1 and exact:
        return b"\1" if leaves == 1 else None
    found = []
    for wide in range(leaves + 1):
        for middle in range(leaves + 1 - wide):
            widths = bytes([2] * (leaves - wide - middle) + [3] * middle + [4] * wide)
            unused = sum(widths) - bits
            if unused == 0 or (not exact and 0 < unused < widths[0]):
                found.append(widths)
    return min(found, key=lambda widths: sum(2 << width for width in widths) + sum(widths), default=None)
