"""Parameters and declared sizes of a truncation; tests hold them against a channel."""

from dataclasses import dataclass

from pi_system.errors import ConfigError
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.material import padded
from pi_system.protocols.ot.gate import GateOfflineCost
from pi_system.protocols.truncation.carry import carry_blocks


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
        if not 1 <= self.shift < self.ring_bits:
            raise ConfigError(f"truncation: expected 1..{self.ring_bits - 1} bits dropped, found {self.shift}")


def client_message_bytes(spec: TruncationSpec) -> int:
    """With a dealer: of y_1 + rho_c, and of the dealer's correction."""
    return packed_bytes(spec.count, spec.ring_bits)


def offline_cost(spec: TruncationSpec) -> GateOfflineCost:
    """Declared cost between two parties."""
    blocks, n = carry_blocks(spec.shift), padded(spec.count)
    return GateOfflineCost(
        round_trips=len(blocks) + 1,  # COTs and choices; then a table down, and what the next one needs up
        server_to_client_bytes=sum(block.table_bits for block in blocks) * n // 8,
        client_to_server_bytes=(spec.shift + len(blocks) - 1 + 2 * spec.ring_bits) * n // 8,
        server_cots=n * sum(block.index_bits for block in blocks),
        client_cots=n,
    )
