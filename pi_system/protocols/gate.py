"""What every gate computes: one activation on a flat batch, in a fixed number of exchanges (message, reply).

A gate evaluates f on ``count`` ring elements of one layer: f(y) = max(0, R(y / 2^t)), t = ``shift``, or, of kind
"square", y * y. R rounds to a neighbouring integer: to the nearest one (protocols that compare shares), or to either,
up with probability (y mod 2^t) / 2^t by a coin that neither party knows (``relu_dcf``). No protocol rounds by anything
that a party knows: an error that depends on the client's share would tell it weights.
Of the K = k - t bits that are left a comparison may not see the low g = ``unseen_bits``. The sign is then right where
|y| >= 2^(t+g-1), and 1 with probability 1/2 + y / 2^(t+g) nearer to zero, by a second coin of the same kind: added to y
by ``relu_dcf``, to the rounded R(y / 2^t) by ``relu_table``, so that in the mean the results differ by up to 2^-(g+2).
Protocols that compare shares see all bits whatever g is: there the coin would be the client's.
Before a gate the server holds the share y_0, the client y_1 (known to it since the offline phase), y_0 + y_1 = y mod
2^l, |y| <= ``spec.limit`` as a signed number. After it the server holds D = f(y) - r mod 2^l, the client the mask r it
chose offline.

A gate is driven chunk by chunk, so that computing and sending overlap; for exchange i of 0..round_trips-1:

    server                                           client
    message = gate.send(i, first, count)      -->    reply = gate.reply(i, first, count, message)
    gate.work(i, first, count)
    gate.receive(i, first, count, reply)      <--

phases.py checks that order, secure/turns.py has that of all chunks, record.py says what a protocol offers. Chunks are
multiples of ``spec.block`` elements except the last. Gates do no IO: pure state and messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pi_system.errors import ConfigError
from pi_system.protocols.material import BLOCK

GateKind = Literal["relu", "exact", "square"]
"""``exact`` is a ReLU whose comparison must see every bit, of label and scores: a backend may serve it by another
protocol than the ReLUs and max-pools of the graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """Public parameters of one gate.

    Attributes:
        kind: which function.
        count: number of ring elements.
        ring_bits: l.
        comparison_bits: k, the input satisfies |y| < 2^(k-1) - 2^(t+g) (2^(k-1) for t = g = 0). Of a square
            2k - 1 <= l, so that the result fits.
        shift: t, bits dropped from the output (0 for a plain ReLU, and for every square).
        unseen_bits: g, 0..K - 2 (0 for every square).
    """

    count: int
    ring_bits: int
    comparison_bits: int
    shift: int
    unseen_bits: int = 0
    kind: GateKind = "relu"

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.count < 1:
            raise ConfigError(f"count: expected at least 1, found {self.count}")
        if not 2 <= self.comparison_bits <= self.ring_bits <= 64:
            raise ConfigError(
                f"bits: expected 2 <= comparison <= ring <= 64, found {self.comparison_bits}, {self.ring_bits}"
            )
        if not 0 <= self.shift <= self.comparison_bits - 2:
            raise ConfigError(f"shift: expected 0..{self.comparison_bits - 2}, found {self.shift}")
        if not 0 <= self.unseen_bits <= self.opened_bits - 2:
            raise ConfigError(f"unseen bits: expected 0..{self.opened_bits - 2}, found {self.unseen_bits}")
        if self.kind == "square" and (self.shift or self.unseen_bits or 2 * self.comparison_bits - 1 > self.ring_bits):
            raise ConfigError(
                f"square: expected no shift, no unseen bits and 2 * comparison bits - 1 <= {self.ring_bits}, "
                f"found {self.shift}, {self.unseen_bits}, {self.comparison_bits}"
            )

    @property
    def opened_bits(self) -> int:
        """K = k - t: bits of a value that is truncated before it is compared."""
        return self.comparison_bits - self.shift

    @property
    def compared_bits(self) -> int:
        """n = K - g: those of them that the comparison sees."""
        return self.opened_bits - self.unseen_bits

    @property
    def limit(self) -> int:
        """The largest |y|: what is rounded up, masked and compared stays within its bits."""
        unknown = self.shift + self.unseen_bits
        return (1 << (self.comparison_bits - 1)) - (1 << unknown if unknown else 0) - 1

    @property
    def half(self) -> int:
        """What is added to y before its low bits are dropped, so that it is rounded to the nearest integer."""
        return (1 << self.shift) >> 1

    @property
    def block(self) -> int:
        """Chunk granularity in elements."""
        return BLOCK


Units = Mapping[str, float]
"""Work: kinds, and how many units of each. What a unit takes is measured; what it is, is said where it is counted."""


GateWork = Mapping[Literal["send", "work", "reply", "receive"], Units]
"""Work of one chunk in one exchange, by the steps of ``phases.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCost:
    """What a protocol declares that one gate costs online; tests hold it against the channel's counters.

    Attributes:
        round_trips: server message, client reply.
        server_to_client_bytes: payload, all exchanges.
        client_to_server_bytes: payload, all exchanges.
    """

    round_trips: int
    server_to_client_bytes: int
    client_to_server_bytes: int
