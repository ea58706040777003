"""Backend ``crypten``: what it opens, in closed form, and how long that takes; held against its plan by a test.

Every round is an exchange: both parties compute, send at once and wait for the other's message, half a round trip. A
weighted layer opens input and weights in one; a ReLU takes nine and 29 words of 8 bytes an element each way (the
conversion to binary shares: 1 + 6 levels of an adder, 26 words; back: 1; the product: 2); a max-pool is such ReLUs.
The dealer's corrections are 8 bytes an element of every correlation's result, 15 words a ReLU.

Units: ``crypten_start``: an inference; ``crypten_round``: an exchange; ``crypten_word``: 8 bytes opened;
``crypten_relu``: an element compared; ``crypten_mac``: multiply-accumulates in int64. Offline:
``crypten_offline_start``: a preparation, ``crypten_offline_byte``: dealt, ``crypten_offline_mac``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from pi_system.artifact.graph import Graph, MaxPool2d, Node, Relu, WeightedNode
from pi_system.artifact.shapes import weight_shapes
from pi_system.channel.shaped import Link
from pi_system.cost.work import Work, work
from pi_system.errors import ConfigError
from pi_system.program.counts import count_nodes

_WORD = 8
_RELU_ROUNDS, _RELU_WORDS, _RELU_DEALT = 9, 29, 15
_FREE = ("input", "add", "concat", "flatten", "avgpool2d", "truncate")


@dataclass(frozen=True, slots=True)
class Opening:
    """One node.

    Attributes:
        node: it.
        rounds: exchanges.
        words: opened by each party.
        dealt: words the dealer corrects.
        macs: multiply-accumulates.
        relus: elements compared with zero.
    """

    node: Node
    rounds: int
    words: int
    dealt: int
    macs: int
    relus: int = 0

    def units(self, link: Link) -> Work:
        """Online work, the link's included."""
        messages = max(1, self.rounds)
        transfer = messages * link.transfer_s(_WORD * self.words // messages) if self.rounds else 0.0
        return work(
            crypten_round=self.rounds,
            crypten_word=self.words,
            crypten_relu=self.relus,
            crypten_mac=self.macs,
            transfer=1e9 * transfer,
            round_trip=1e9 * self.rounds * link.rtt_s / 2,
        )

    @property
    def nbytes(self) -> int:
        """Opened in each direction."""
        return _WORD * self.words


def openings(graph: Graph) -> list[Opening]:
    """Every node in execution order. Raises ConfigError for an operation that CrypTen does not have here."""
    return list(_openings(graph))


def _openings(graph: Graph) -> Iterator[Opening]:
    shapes = weight_shapes(graph)
    elements = {node.name: prod(node.shape) for node in graph}
    macs = {count.name: count.macs for count in count_nodes(graph)}
    for node in graph:
        size = elements[node.name]
        if isinstance(node, WeightedNode):
            weights = prod(shapes[f"{node.name}.weight"])
            yield Opening(node, 1, elements[node.inputs[0]] + weights, size, macs[node.name])
        elif isinstance(node, Relu):
            yield _relus(node, 1, node.active)
        elif isinstance(node, MaxPool2d):
            window = prod(node.kernel)
            yield _relus(node, (window - 1).bit_length(), size * (window - 1))
        elif node.op == "square":
            yield Opening(node, 1, size, size, 0)
        elif node.op in _FREE:
            yield Opening(node, 0, 0, 0, 0)
        else:
            raise ConfigError(f"cost model: expected an operation of backend crypten, found {node.op}")


def _relus(node: Node, levels: int, count: int) -> Opening:
    return Opening(node, _RELU_ROUNDS * levels, _RELU_WORDS * count, _RELU_DEALT * count, 0, count)
