"""Shared bits of the sum of a number that the server knows and one that the client knows, bit by bit.

    carry' = a b ^ a carry ^ b carry, carry = c_s ^ c_c:   server: a c_s, client: b c_c, and a (b ^ c_c) ^ b c_s,
    two products of one party's bit with the other's: a and b are the random bits of their OTs.

Two sums are made side by side: of the value's mask r' = a + b mod 2^k, and where not all bits are compared, from bit t
on, of the sign's, r'' = a' + b, with the same carry into bit t: r'' - r' is a multiple of 2^t that the server knows.
"""

from dataclasses import dataclass

import numpy as np

from pi_system.kernels.ot import transpose_128
from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import Half
from pi_system.protocols.relu_table.products import Chosen, Offered
from pi_system.protocols.relu_table.rounds import Party
from pi_system.ring.carrier import RingArray


@dataclass(slots=True)
class _Lane:
    """One party's part of one sum, from bit ``first`` on.

    Attributes:
        own: its number, (steps, n / 8).
        w: its part of the products in which it chooses, (steps, n / 8).
        beta: what masks its factor of the others, and
        v: its part of them.
        carries: its shares of the carries into the bits, and out of the last.
    """

    first: int
    own: Bytes
    w: Bytes
    beta: Bytes
    v: Bytes
    carries: list[Bytes]

    def factor(self, i: int, role: int) -> Bytes:
        """What the peer's bit is multiplied by: the own carry, at the client plus its bit; masked."""
        at, carry = i - self.first, self.carries[-1]
        masked: Bytes = carry ^ self.beta[at] ^ self.own[at] if role else carry ^ self.beta[at]
        return masked

    def step(self, i: int, factor: Bytes) -> None:
        """Take the peer's masked factor."""
        at = i - self.first
        self.carries.append((self.own[at] & (self.carries[-1] ^ factor)) ^ self.v[at] ^ self.w[at])

    def bit(self, i: int) -> Bytes:
        """The share of a bit of the sum."""
        shared: Bytes = self.own[i - self.first] ^ self.carries[i - self.first]
        return shared


@dataclass(slots=True)
class Sums:
    """One party's shares after the adder, planes of n / 8 bytes.

    Attributes:
        carry: of the carry into bit t of r'; none for t = 0.
        wrap: of [a + b >= 2^k].
        top: of the highest bit of R = r' >> t.
        compared: of the n bits that are compared, lowest first.
        mask: a or b (n,), and
        other: at the server a' >> t, (n,), where the sign has a mask of its own.
    """

    carry: Bytes | None
    wrap: Bytes
    top: Bytes
    compared: list[Bytes]
    mask: RingArray
    other: RingArray | None


def own_mask(party: Party, chosen: Chosen) -> tuple[RingArray, RingArray | None]:
    """The party's random numbers: of k bits, and at the server of K bits for the sign's mask; uint64."""
    rows = np.zeros((128, party.count // 8), np.uint8)
    steps = [u for u, _ in chosen.adder]
    if party.role == 1:
        first, second = np.concatenate(steps), np.empty((0, party.count // 8), np.uint8)
    else:
        first, second = steps[0], steps[1] if len(steps) > 1 else np.empty((0, party.count // 8), np.uint8)
    rows[: len(first)], rows[64 : 64 + len(second)] = first, second
    words = transpose_128(rows)
    return words[:, 0].copy(), words[:, 1].copy() if len(second) else None


def _lanes(party: Party, offered: Offered, chosen: Chosen) -> list[_Lane]:
    spec, zero = party.shape.spec, [np.zeros(party.count // 8, np.uint8)]
    server, client = (chosen.adder, offered.adder) if party.role else (offered.adder, chosen.adder)
    # With the server as sender an OT serves every sum that runs; the client's are one a sum and step.
    by_sum: list[tuple[Bytes, Bytes]] = []
    for lane in range(party.shape.lanes):
        parts = [(one, two) for one, two in server if _bits(two) > lane]
        second = np.concatenate([two[:, lane] for _, two in parts])
        first = np.concatenate([one if party.role else one[:, lane] for one, _ in parts])
        by_sum.append((first, second))
    found = []
    for lane, (mine, (one, two)) in enumerate(zip(by_sum, client, strict=True)):
        start = spec.shift if lane else 0
        if party.role:  # chose u = b under the server's, offered beta under its own
            found.append(_Lane(start, mine[0], mine[1], one[:, 0], two[:, 0], [] if lane else list(zero)))
        else:
            found.append(_Lane(start, one, two[:, 0], mine[0], mine[1], [] if lane else list(zero)))
    return found


def _bits(w: Bytes) -> int:
    return w.shape[1]


def add(
    party: Party, offered: Offered, chosen: Chosen, masked: RingArray | None
) -> Half[tuple[Sums, RingArray | None]]:
    """Run the adder; ``masked``: the client's y_1 + b mod 2^k (n,), which the server gets in the first round."""
    spec, received = party.shape.spec, None
    lanes = _lanes(party, offered, chosen)
    mask, other = own_mask(party, chosen)
    for i in range(spec.comparison_bits):
        if i == spec.shift and len(lanes) > 1:
            lanes[1].carries.append(lanes[0].carries[-1])
        running = [lane for lane in lanes if lane.first <= i]
        words = [masked] if i == 0 and masked is not None else []
        factors, found = yield from party.swap([lane.factor(i, party.role) for lane in running], words)
        received = found[0] if found else received
        for lane, factor in zip(running, factors, strict=True):
            lane.step(i, factor)
    first, last, top = lanes[0], lanes[-1], spec.comparison_bits - 1
    compared = [last.bit(i) for i in range(spec.comparison_bits - spec.compared_bits, spec.comparison_bits)]
    carry = first.carries[spec.shift] if spec.shift else None
    return Sums(carry, first.carries[-1], first.bit(top), compared, mask, other), received
