"""Which ReLU without a dealer is faster online for a network on a link: ``gmw`` or ``gc``.

Predicted milliseconds = the busier direction's declared bytes / rate + round trips x RTT + compute. Bytes and round
trips are the protocols' own declarations; compute was measured on one core with VAES (docs/results.md).
"""

from typing import Literal

from pi_system.artifact.model import PublicArtifact
from pi_system.offline.schedule import plan
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW

__all__ = ["TwoPartyGate", "faster_gate", "predicted_gate_ms"]

TwoPartyGate = Literal["gmw", "gc"]

_PROTOCOLS = {"gmw": GMW, "gc": GC}
_NS_AN_ELEMENT = {"gmw": 120.0, "gc": 1300.0}


def predicted_gate_ms(public: PublicArtifact, gate: TwoPartyGate, link: tuple[float, float]) -> float:
    """Online milliseconds of all ReLUs of one picture over ``link`` (bits a second each way, round-trip seconds)."""
    rate_bits_s, rtt_s = link
    down = up = trips = count = 0
    for step in plan(public.public.graph, public.public.ring, public.masks).gates(argmax=False):
        cost = _PROTOCOLS[gate].cost(step.spec)
        down += cost.server_to_client_bytes
        up += cost.client_to_server_bytes
        trips += cost.round_trips
        count += step.spec.count
    seconds = 8 * max(down, up) / rate_bits_s + trips * rtt_s + count * _NS_AN_ELEMENT[gate] * 1e-9
    return 1e3 * seconds


def faster_gate(public: PublicArtifact, link: tuple[float, float]) -> TwoPartyGate:
    """The gate with the lower prediction."""
    gates: tuple[TwoPartyGate, ...] = ("gmw", "gc")
    return min(gates, key=lambda gate: predicted_gate_ms(public, gate, link))
