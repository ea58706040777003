"""Predicted online latency of the fast runtime: what the exporter orders ring sizes and truncations by.

    milliseconds = MACs * ns_per_mac(l) + sum over gates of max(server, client) ns(k)
                   + the busier direction's bytes / rate + round trips * RTT

where a ReLU that drops t of its k bits costs what its K = k - t bits cost.

The cost model proper is pi_system/cost. It builds on the protocols, which the exporter must not import (the plaintext
and the secure arm meet in artifact and program only), and needs a checked artifact, which an export's candidates are
not yet. An order of candidates is all that is wanted here, so this is the sum without chunks, overlap and fixed costs,
with a dealer's ReLU.
"""

from math import prod

from pi_system.artifact.graph import Graph, MaxPool2d, Relu, Square
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.counts import mac_count

__all__ = ["LAN", "online_ms"]

LAN = (1e9, 0.3e-3)
"""A local network: bits a second each way, round-trip seconds."""

_NS_PER_MAC = {32: 0.009, 64: 0.019}
_SQUARE_NS = 8.0
_FASTEST_BITS_S = 1e10
"""What gRPC moves on one machine, for links without a limit."""


def online_ms(graph: Graph, ring: RingConfig, link: tuple[float, float] = LAN) -> float:
    """Predicted milliseconds of one picture's online phase over ``link`` (bits a second, round-trip seconds)."""
    rate_bits_s, rtt_s = min(link[0], _FASTEST_BITS_S), link[1]
    compute_ns = mac_count(graph) * _NS_PER_MAC[32 if ring.ring_bits <= 32 else 64]
    down_bits = up_bits = gates = 0
    for node in graph:
        if not isinstance(node, Relu | MaxPool2d | Square):
            continue
        count, bits = _elements(node), ring.comparison_bits[node.name]
        if isinstance(node, Relu):
            bits -= ring.frac_bits[node.inputs[0]] - ring.frac_bits[node.name]
        opened = not isinstance(node, Square)
        compute_ns += count * (_relu_ns(bits) if opened else _SQUARE_NS)
        down_bits += count * (bits + 1 if opened else ring.ring_bits)
        up_bits += count * (ring.ring_bits + opened)
        gates += 1
    transfer_s = max(down_bits, up_bits) / rate_bits_s
    return compute_ns * 1e-6 + 1e3 * (transfer_s + (gates + 1) * rtt_s)


def _elements(node: Relu | MaxPool2d | Square) -> int:
    """Gate elements a picture: active ReLUs, squares, or a max-pool's comparisons."""
    size = prod(node.shape)
    if isinstance(node, Relu):
        return node.active
    return size * (prod(node.kernel) - 1) if isinstance(node, MaxPool2d) else size


def _relu_ns(bits: int) -> float:
    """Nanoseconds an element and party: the tree's levels below early termination, and packing and finishing."""
    return 6.0 + 1.25 * max(0, bits - 9)
