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
        masked: at the server y_1 + b mod 2^k (n,), which the client sends in the first round.
    """

    carry: Bytes | None
    wrap: Bytes
    top: Bytes
    compared: list[Bytes]
    mask: RingArray
    other: RingArray | None
    masked: RingArray | None


def own_mask(party: Party, chosen: Chosen) -> tuple[RingArray, RingArray | None]:
    """The party's random numbers: a or b of k bits, and at the server a' >> t of K bits, if there is one; uint64."""
    rows = np.zeros((128, party.count // 8), np.uint8)
    steps = [u for u, _ in chosen.adder]
    numbers = [np.concatenate(steps)] if party.role else steps
    for first, number in zip((0, 64), numbers, strict=False):
        rows[first : first + len(number)] = number
    words = transpose_128(rows)
    return words[:, 0].copy(), words[:, 1].copy() if len(numbers) > 1 else None


def _lanes(party: Party, offered: Offered, chosen: Chosen) -> list[_Lane]:
    """Under the server's OTs one choice b serves all sums that run; under the client's each has its own, a or a'."""
    down, up = (chosen.adder, offered.adder) if party.role else (offered.adder, chosen.adder)
    found = []
    for lane in range(party.shape.lanes):
        first, start = (party.shape.spec.shift, []) if lane else (0, [np.zeros(party.count // 8, np.uint8)])
        groups = [(one, two[:, lane]) for one, two in down if two.shape[1] > lane]
        two = np.concatenate([part for _, part in groups])
        if party.role:
            u = np.concatenate([one for one, _ in groups])
            found.append(_Lane(first, u, two, up[lane][0][:, 0], up[lane][1][:, 0], start))
        else:
            beta = np.concatenate([one[:, lane] for one, _ in groups])
            found.append(_Lane(first, up[lane][0], up[lane][1][:, 0], beta, two, start))
    return found


def add(party: Party, offered: Offered, chosen: Chosen, share: RingArray | None) -> Half[Sums]:
    """Run the adder; ``share``: the client's y_1 (n,)."""
    spec, received = party.shape.spec, None
    lanes, (mask, other) = _lanes(party, offered, chosen), own_mask(party, chosen)
    masked = [] if share is None else [share + mask.astype(share.dtype)]
    for i in range(spec.comparison_bits):
        if i == spec.shift and len(lanes) > 1:
            lanes[1].carries.append(lanes[0].carries[-1])
        running = [lane for lane in lanes if lane.first <= i]
        factors, words = yield from party.swap([lane.factor(i, party.role) for lane in running], [] if i else masked)
        received = words[0] if words else received
        for lane, factor in zip(running, factors, strict=True):
            lane.step(i, factor)
    first, last, top = lanes[0], lanes[-1], spec.comparison_bits - 1
    return Sums(
        carry=first.carries[spec.shift] if spec.shift else None,
        wrap=first.carries[-1],
        top=first.bit(top),
        compared=[last.bit(i) for i in range(spec.shift + spec.unseen_bits, spec.comparison_bits)],
        mask=mask,
        other=other,
        masked=received,
    )
