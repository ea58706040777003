"""The floor of an online phase: what is left when the protocol's own computing costs nothing."""

from pi_system.channel.shaped import Link

__all__ = ["floor_ms"]


def floor_ms(conv_ms: float, *, sent_bytes: int, received_bytes: int, round_trips: float, link: Link) -> float:
    """Plaintext convolutions, bytes over the bandwidth, round trips.

    The link's directions do not disturb each other, so the busier one counts; its packet headers are included. On
    loopback, whose rate and delay are not limited, only the convolutions are left.

    Args:
        conv_ms: convolutions and linear layers in float32 on one core, for the same pictures.
        sent_bytes: online payload in one direction.
        received_bytes: in the other.
        round_trips: one after the other; half of one where both parties send at once and then wait.
        link: rate and round-trip time.
    """
    return conv_ms + 1000 * (link.transfer_s(max(sent_bytes, received_bytes)) + round_trips * link.rtt_s)
