"""A link between two parties: its rate and its round-trip time, by name or by numbers."""

import math
import re
from dataclasses import dataclass
from typing import Final

from pi_system.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Link:
    """One direction's rate and the round-trip time.

    Attributes:
        rate_bits_s: bits a second in each direction; infinity for no limit.
        rtt_s: seconds, half of it in each direction.
    """

    rate_bits_s: float
    rtt_s: float

    def transfer_s(self, nbytes: int) -> float:
        """Seconds that ``nbytes`` of payload keep the link busy, packet headers included."""
        packets = max(1, -(-nbytes // _SEGMENT_BYTES))
        return 8 * (nbytes + packets * _HEADER_BYTES) / self.rate_bits_s


_SEGMENT_BYTES: Final = 1448
_HEADER_BYTES: Final = 52  # IPv4 20, TCP with timestamps 32
LINKS: Final = {
    "loopback": Link(math.inf, 0.0),
    "lan": Link(1e9, 0.3e-3),
    "wan": Link(100e6, 40e-3),
}


def parse_link(text: str) -> Link:
    """The link of that name, or ``"rate_mbit,rtt_ms"``. Raises ConfigError."""
    if text in LINKS:
        return LINKS[text]
    number = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
    match = re.fullmatch(f"{number},{number}", text)
    if match is None or float(match[1]) <= 0 or float(match[2]) > 10_000:
        raise ConfigError(f"link: expected one of {', '.join(LINKS)} or RATE_MBIT,RTT_MS, found {text[:40]!r}")
    return Link(float(match[1]) * 1e6, float(match[2]) * 1e-3)
