"""Parameters and declared sizes of a truncation; tests hold them against a channel."""

from dataclasses import dataclass

from pi_system.errors import ConfigError
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.material import padded
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.relu_gmw.cut import MAX_COMPARISON_BITS, Cut, lightest_cut


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncationSpec:
    """Public parameters of one truncation.

    Attributes:
        count: n, number of ring elements.
        ring_bits: l.
        shift: t, bits dropped.
    """

    count: int
    ring_bits: int
    shift: int

    def __post_init__(self) -> None:
        """Check ranges. Raises ConfigError."""
        if self.count < 1:
            raise ConfigError(f"count: expected at least 1, found {self.count}")
        most = min(self.ring_bits, MAX_COMPARISON_BITS) - 1
        if not 1 <= self.shift <= most:
            raise ConfigError(f"truncation: expected 1..{most} bits dropped, found {self.shift}")


def cut_of(spec: TruncationSpec) -> Cut:
    """The comparison tree of the low bits: that of t + 1 bits, the highest of which is fixed."""
    return lightest_cut(spec.shift + 1)


def client_message_bytes(spec: TruncationSpec) -> int:
    """With a dealer: of y_1 + rho_c, and of the dealer's correction."""
    return packed_bytes(spec.count, spec.ring_bits)


def offline_cost(spec: TruncationSpec) -> GateOfflineCost:
    """Declared cost between two parties."""
    cut, n = cut_of(spec), padded(spec.count)
    down, up = cut.offline_planes
    return GateOfflineCost(
        round_trips=3 if down else 2,  # coefficients and choices, tables and level 1, level 2 and the result
        server_to_client_bytes=(down + 8 * cut.word_bytes + cut.level2.message_planes) * n // 8,
        client_to_server_bytes=(up + cut.reply_planes + 2 * spec.ring_bits) * n // 8,
        server_cots=n * cut.cots,
        client_cots=n,
    )
