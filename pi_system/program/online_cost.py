"""Predicted online latency of the fast runtime: what the exporter and the runtime choose parameters by.

The model is a sum of the four things an online phase spends time on, with the two parties' key evaluations side by
side as they run:

    milliseconds = MACs * ns_per_mac(l) + sum over ReLUs of max(server, client) ns(k, variant)
                   + the busier direction's bytes / rate + round trips * RTT

Constants were measured on one core with VAES and AMX (docs/decisions.md); other machines scale them alike enough for
a choice, which is all this is for.
"""

from typing import Literal

from pi_system.artifact.graph import Graph, MaxPool2d, Relu
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.counts import mac_count

__all__ = ["LAN", "Variant", "choose_variant", "online_ms"]

LAN = (1e9, 0.3e-3)
"""A local network: bits a second each way, round-trip seconds."""

_NS_PER_MAC = {32: 0.009, 64: 0.019}
_FASTEST_BITS_S = 1e10
"""What gRPC moves on one machine, for links without a limit."""


Variant = Literal["bit", "arith"]


def online_ms(graph: Graph, ring: RingConfig, link: tuple[float, float] = LAN, variant: Variant = "bit") -> float:
    """Predicted milliseconds of one picture's online phase over ``link`` (bits a second, round-trip seconds)."""
    rate_bits_s, rtt_s = min(link[0], _FASTEST_BITS_S), link[1]
    gates = [(node, ring.comparison_bits[node.name]) for node in graph if isinstance(node, Relu | MaxPool2d)]
    compute_ns = mac_count(graph) * _NS_PER_MAC[32 if ring.ring_bits <= 32 else 64]
    opened = 1 if variant == "bit" else 0
    down_bits = up_bits = 0
    for node, bits in gates:
        count = _elements(node)
        compute_ns += count * _gate_ns(bits, variant)
        down_bits += count * (bits + opened)
        up_bits += count * (ring.ring_bits + opened)
    transfer_s = max(down_bits, up_bits) / rate_bits_s
    return compute_ns * 1e-6 + 1e3 * (transfer_s + (len(gates) + 1) * rtt_s)


def choose_variant(graph: Graph, ring: RingConfig, link: tuple[float, float]) -> Variant:
    """The comparison variant with the lower predicted latency."""
    return "bit" if online_ms(graph, ring, link, "bit") <= online_ms(graph, ring, link, "arith") else "arith"


def _elements(node: Relu | MaxPool2d) -> int:
    """Gate elements a picture: active ReLUs, or a max-pool's comparisons."""
    if isinstance(node, Relu):
        return node.active
    channels, height, width = node.shape
    return channels * height * width * (node.kernel[0] * node.kernel[1] - 1)


def _gate_ns(bits: int, variant: Variant) -> float:
    """Nanoseconds an element and party: the tree's levels below early termination, and packing and finishing."""
    return 6.0 + 1.25 * max(0, bits - 9) if variant == "bit" else 20.0 + 5.0 * max(0, bits - 3)
