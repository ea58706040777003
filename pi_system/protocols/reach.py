"""How wide a comparison a protocol takes: said in its record, asked by its backend before a party is made."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The widest comparison of a protocol.

    Attributes:
        bits: k, those of the gate's input.
        compared: n, those that the comparison sees.
    """

    bits: int = 64
    compared: int = 64

    def why_not(self, bits: int, compared: int, where: str = "") -> str:
        """Why none of k = ``bits``, n = ``compared`` is taken, with a way round; empty if it is."""
        place = f" at {where}" if where else ""
        if bits > self.bits:
            return (
                f"expected comparisons of at most {self.bits} bits, found {bits}{place}; take another backend, "
                "or export again"
            )
        if compared > self.compared:
            return (
                f"expected at most {self.compared} compared bits, found {compared}{place}; take another backend, or "
                f"pi-train export --compare-bits {self.compared}"
            )
        return ""


UNLIMITED = Reach()
"""Of a protocol that takes every comparison."""
