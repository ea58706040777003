"""What one activation layer costs online, by itself: for planners that choose activations before there is a graph.

The bits are those that exported networks typically have in a ring that has room for squares; times scale with them by
little, and what is compared are two activations of one size.
"""

from typing import Final, Literal

from pi_system.artifact.graph import Input
from pi_system.backends.costs import overlapping
from pi_system.channel.link import Link, parse_link
from pi_system.cost.calibration import Calibration
from pi_system.cost.layers import NodeWork
from pi_system.cost.replay import Replay
from pi_system.errors import ConfigError
from pi_system.protocols.gate import GateSpec

_RING_BITS: Final = 59
_RELU_BITS, _SHIFT, _SQUARE_BITS = 28, 12, 18


def activation_ms(
    kind: Literal["relu", "square"], count: int, backend: str, link: str | Link, calibration: Calibration
) -> float:
    """Milliseconds that a layer of ``count`` activations adds to an inference; none of none.

    Raises:
        ConfigError: a backend whose gates the model does not replay, no such link, or prices are missing.
    """
    gates = overlapping()  # in lockstep no activation has a time of its own
    if backend not in gates:
        raise ConfigError(f"backend: expected one of {', '.join(gates)}; found {backend!r}")
    calibration.check_has(backend)
    if count == 0:
        return 0.0
    spec = GateSpec(
        kind=kind,
        count=count,
        ring_bits=_RING_BITS,
        comparison_bits=_RELU_BITS if kind == "relu" else _SQUARE_BITS,
        shift=_SHIFT if kind == "relu" else 0,
        unseen_bits=max(0, _RELU_BITS - _SHIFT - gates[backend]["relu"].reach.compared) if kind == "relu" else 0,
    )
    shaped = parse_link(link) if isinstance(link, str) else link
    replay = Replay(gates[backend], shaped, calibration.as_prices())
    replay.node(NodeWork(Input(name="x", inputs=(), shape=(count,)), 0, gates=(("activation", spec),)))
    return replay.server.ns / 1e6
