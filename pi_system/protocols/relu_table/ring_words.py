"""From shared bits to shares in the ring, and products of a shared bit with ring elements of both parties.

A bit z = z_s ^ z_c is z_s + z_c - 2 z_s z_c: one product, sent with a bit less than the ring element has.
rho (x_s + x_c) with rho = u_s ^ u_c, u being the random choices of two OTs, is u x of each party alone and two products
that cross.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pi_system.kernels.packing import Bytes
from pi_system.protocols.ot.strings import carrier
from pi_system.protocols.relu_gmw.planes import as_bits, negated_where
from pi_system.protocols.relu_table.products import Chosen, Offered
from pi_system.protocols.relu_table.rounds import Party
from pi_system.ring.carrier import RingArray


class RingBits:
    """One party's shares of bits, planes of n / 8 bytes, on their way to the ring.

    ``bits``: by name; the server sends the products of those that the first direction has words for, in order, the
    client those of the second. Bits for which there is no word are their own shares: of a ring of one bit.
    """

    def __init__(self, party: Party, bits: Mapping[str, Bytes], offered: Offered, chosen: Chosen):
        """``offered`` and ``chosen``: the gate's OTs."""
        down, up = (len(direction.bit_words) for direction in party.shape.directions)
        names = list(bits)
        self._names = names[:down], names[down : down + up]
        self._own = {name: ring_bits_of(party, bit) for name, bit in bits.items()}
        self._sent, self._received = self._names if party.role == 0 else self._names[::-1]
        self._offered, self._party = offered.words, party
        self._words = chosen.words
        self._corrections = [bits[name] ^ u for name, (u, _) in zip(self._received, self._words, strict=False)]

    def corrections(self) -> list[Bytes]:
        """e of the bits in whose products the party chooses."""
        return self._corrections

    def offers(self) -> list[RingArray]:
        """F of the others."""
        return [self._own[name] - step[0] for name, (_, step) in zip(self._sent, self._offered, strict=False)]

    def shares(self, corrections: Bytes, offers: Sequence[RingArray]) -> dict[str, RingArray]:
        """All shares, from the peer's e (rows) and F."""
        found = dict(self._own)
        for name, (zero, _), plane in zip(self._sent, self._offered, corrections, strict=False):
            e, bit = ring_bits_of(self._party, plane), self._own[name]
            found[name] = _less_twice(bit, e * bit - negated_where(e, zero[0]))
        for name, (u, word), offer in zip(self._received, self._words, offers, strict=False):
            choice, bit = ring_bits_of(self._party, u), self._own[name]
            differs: RingArray = np.bitwise_xor(bit, choice)
            found[name] = _less_twice(bit, negated_where(differs, choice * offer + word[0]))
        return found


def _less_twice(bit: RingArray, product: RingArray) -> RingArray:
    less: RingArray = bit - product - product
    return less


class RhoProducts:
    """One party's part of rho times each of the ``values`` that it has shares of, (n,) each; ``choice``: its u."""

    def __init__(self, choice: RingArray, values: Sequence[RingArray], offered: Offered, chosen: Chosen):
        """``offered`` and ``chosen``: the gate's OTs."""
        self._choice, self._values = choice, values
        self._zero, self._step = offered.words[-1]
        self._word = chosen.words[-1][1]

    def offers(self) -> list[RingArray]:
        """F of each value: what the peer's choice adds to the product of the own choice and the value."""
        return [negated_where(self._choice, value) - self._step[i] for i, value in enumerate(self._values)]

    def shares(self, offers: Sequence[RingArray]) -> list[RingArray]:
        """Shares of the products, from the peer's F."""
        return [
            self._choice * (value + offer) + self._word[i] - self._zero[i]
            for i, (value, offer) in enumerate(zip(self._values, offers, strict=True))
        ]


def ring_bits_of(party: Party, plane: Bytes) -> RingArray:
    """A plane as 0 and 1 in the carrier of the ring."""
    dtype: Any = np.dtype(carrier(party.shape.spec.ring_bits))
    found: RingArray = as_bits(plane, party.count).astype(dtype)
    return found
