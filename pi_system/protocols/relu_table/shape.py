"""What two parties need to make one gate, from its parameters: correlated OTs by direction, and the rounds' sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from pi_system.errors import ConfigError
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import padded
from pi_system.protocols.reach import Reach

MAX_COMPARED_BITS = 10
"""The largest n: a table has 2^(n-1) bits, and as many go each way while it is made."""
REACH = Reach(compared=MAX_COMPARED_BITS)
_STRING_BITS = 128
"""The longest string that one OT carries; a longer one is cut."""
_LATER_ROUNDS = 2
"""After the adder, besides doubling: bits to the ring, then products with rho."""


@dataclass(frozen=True)
class Parts:
    """What one party sends in a round: planes, then words.

    Attributes:
        planes: bits an element.
        words: widths of ring elements, one of each an element.
    """

    planes: int
    words: tuple[int, ...] = ()

    def nbytes(self, count: int) -> int:
        """Of ``count`` elements, whole blocks."""
        return self.planes * count // 8 + sum(packed_bytes(count, bits) for bits in self.words)


@dataclass(frozen=True)
class Direction:
    """The correlated OTs whose sender is one party.

    Attributes:
        adder: (steps, bits of each OT's string) of the adder.
        strings: bits of the strings of doubling, in order.
        bit_words: width of the word for each bit that is taken to the ring.
        product_words: widths of the words of the product with rho; one OT.
    """

    adder: tuple[tuple[int, int], ...]
    strings: tuple[int, ...]
    bit_words: tuple[int, ...]
    product_words: tuple[int, ...]

    @property
    def cots(self) -> int:
        """COTs an element."""
        return sum(steps for steps, _ in self.adder) + len(self.strings) + len(self.bit_words) + 1


@dataclass(frozen=True)
class Shape:
    """The plan of one gate."""

    spec: GateSpec

    def __post_init__(self) -> None:
        """Raises ConfigError where a table would be too large."""
        if reason := REACH.why_not(self.spec.comparison_bits, self.spec.compared_bits):
            raise ConfigError(f"table: {reason}")

    @property
    def lanes(self) -> int:
        """Sums that are made: of the value's mask, and where not all bits are compared of the sign's."""
        return 2 if self.spec.unseen_bits else 1

    @property
    def high_bits(self) -> int:
        """l - K: what is above the opened bits; none where they fill the ring."""
        return max(0, self.spec.ring_bits - self.spec.opened_bits)

    def doublings(self) -> Iterator[int]:
        """Entries of the table before each doubling, its last, always zero, left out."""
        for j in range(1, self.spec.compared_bits - 1):
            yield (1 << j) - 1

    @cached_property
    def strings(self) -> tuple[tuple[int, ...], ...]:
        """Of each doubling the lengths of the pieces of its string."""
        return tuple(
            tuple(min(_STRING_BITS, rows - first) for first in range(0, rows, _STRING_BITS))
            for rows in self.doublings()
        )

    @property
    def pieces(self) -> int:
        """Of all doublings."""
        return sum(map(len, self.strings))

    @cached_property
    def directions(self) -> tuple[Direction, Direction]:
        """With the server as sender: of rho and of the carry; with the client: of the wrap and of the top bit."""
        spec = self.spec
        strings = tuple(length for pieces in self.strings for length in pieces)
        steps = [(spec.shift, 1), (spec.opened_bits, 2)] if spec.unseen_bits else [(spec.comparison_bits, 1)]
        down, up = [spec.ring_bits - 1] * (2 if spec.shift else 1), [self.high_bits - 1] * 2
        products = tuple(bits for bits in (spec.ring_bits, self.high_bits) if bits)
        lanes = (spec.comparison_bits, spec.opened_bits)[: self.lanes]
        return (
            Direction(tuple(step for step in steps if step[0]), strings, tuple(down), products),
            Direction(tuple((lane, 1) for lane in lanes), strings, tuple(bits for bits in up if bits > 0), products),
        )

    def rounds(self, role: int) -> list[Parts]:
        """What a party sends, round by round; in each both send, then both receive."""
        spec, own, other = self.spec, self.directions[role], self.directions[1 - role]
        found = []
        for i in range(spec.comparison_bits):
            masked = (spec.comparison_bits,) if role == 1 and i == 0 else ()
            found.append(Parts(self.lanes if i >= spec.shift else 1, masked))
        doublings = list(self.doublings())
        for j in range(max(len(doublings), _LATER_ROUNDS)):
            rows = doublings[j] if j < len(doublings) else 0
            if j == 0:
                found.append(Parts(self.pieces + len(other.bit_words) + rows, own.bit_words))
            else:
                found.append(Parts(rows, own.product_words if j == 1 else ()))
        return found

    def sent_bytes(self, role: int) -> int:
        """Bytes that a party sends in all rounds."""
        return sum(parts.nbytes(padded(self.spec.count)) for parts in self.rounds(role))


@lru_cache(maxsize=256)
def shape_of(spec: GateSpec) -> Shape:
    """The plan of a gate. Raises ConfigError beyond ``REACH``."""
    return Shape(spec)
