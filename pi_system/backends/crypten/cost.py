"""Backend ``crypten``: what it opens, in closed form, and how long that takes; held against its plan by a test.

A weighted layer opens input and weights in one exchange; a ReLU takes nine and 29 words of 8 bytes an element each way
(the conversion to binary shares: 1 + 6 levels of an adder, 26 words; back: 1; the product: 2); a max-pool is such
ReLUs. The dealer's corrections are 8 bytes an element of every correlation's result, 15 words a ReLU.

Units: ``crypten_start``: an inference; ``crypten_round``: an exchange; ``crypten_word``: 8 bytes opened;
``crypten_relu``: an element compared; ``crypten_mac``: multiply-accumulates in int64. Offline:
``crypten_offline_start``: a preparation, ``crypten_offline_byte``: dealt, ``crypten_offline_mac``.
"""

from math import prod
from typing import Final

from pi_system.artifact.graph import Conv2d, Input, Linear, MaxPool2d, Node, Relu, Square
from pi_system.artifact.model import PublicArtifact
from pi_system.backends.costs import Lockstep, OfflineCost, Opening
from pi_system.program.counts import count_nodes, mac_count
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.schedule import Schedule

UNITS = (
    *("crypten_start", "crypten_round", "crypten_word", "crypten_relu", "crypten_mac"),
    *("crypten_offline_start", "crypten_offline_byte", "crypten_offline_mac"),
)
_WORD: Final = 8
_RELU_ROUNDS, _RELU_WORDS, _RELU_DEALT = 9, 29, 15


def gates(backend: str) -> None:
    """Nothing overlaps."""


def lockstep(backend: str, public: PublicArtifact) -> Lockstep:
    """See BackendCost."""
    graph = public.public.graph
    elements = {node.name: prod(node.shape) for node in graph}
    macs = {count.name: count.macs for count in count_nodes(graph)}
    opened = tuple(_opening(node, elements, macs[node.name]) for node in graph)
    return Lockstep(opened, _WORD * elements[graph.output])


def _opening(node: Node, elements: dict[str, int], macs: int) -> Opening:
    relus = rounds = words = dealt = 0
    units = {"crypten_mac": macs}
    match node:
        case Input():
            units["crypten_start"] = 1
        case Conv2d() | Linear():
            rounds, words = 1, elements[node.inputs[0]] + prod(node.weight_shape)
            dealt = elements[node.name]
        case Square():
            rounds, words, dealt = 1, node.count, node.count
        case Relu():
            rounds, relus = _RELU_ROUNDS, node.active
        case MaxPool2d():
            others = prod(node.kernel) - 1
            rounds, relus = _RELU_ROUNDS * others.bit_length(), others * elements[node.name]
    words, dealt = words + _RELU_WORDS * relus, dealt + _RELU_DEALT * relus
    units |= {"crypten_round": rounds, "crypten_word": words, "crypten_relu": relus}
    return Opening(
        node=node,
        rounds=rounds,
        nbytes=_WORD * words,
        dealt_bytes=_WORD * dealt,
        macs=macs,
        relus=relus,
        units=units,
    )


def offline(backend: str, public: PublicArtifact, schedule: Schedule) -> OfflineCost:
    """See BackendCost."""
    dealt = sum(opening.dealt_bytes for opening in lockstep(backend, public).openings)
    nbytes, macs = dealt + 2 * SEED_BYTES, mac_count(public.public.graph)
    return OfflineCost(
        nbytes=nbytes,
        setup_bytes=2 * SEED_BYTES,
        stored=(0, 0),
        busiest=dealt + SEED_BYTES,
        rounds=1,
        units={"crypten_offline_start": 1, "crypten_offline_byte": nbytes, "crypten_offline_mac": macs},
    )
