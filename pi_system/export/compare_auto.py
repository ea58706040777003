"""``auto``: layer by layer, by sensitivity, the fewest bits that keep a stated loss, and the table of how.

Each ReLU and max-pool alone gets the fewest bits with which its coins cost no more than what all together may. Where
all together cost more, the layer whose coins alone change most labels gets a bit more, until they do not. Everything is
decided by estimates on the same pictures and coins, without a margin: the table says how uncertain they are. Where so
few pictures could not tell the wanted loss even if no label changed, labels that change for the better count as lost.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from pi_system.artifact.graph import Node, Relu
from pi_system.artifact.model import PublicModel
from pi_system.artifact.ring_config import RingConfig
from pi_system.export.compare_loss import Judgement, Loss, WindowJudge, paired_loss

_START: Final = 8
"""Bits that a layer's search starts with, up or down."""


@dataclass(frozen=True, kw_only=True)
class ComparedLayer:
    """A row: what one comparison sees and costs.

    Attributes:
        name: of the node.
        relus: active ReLUs; 0 for a max-pool.
        k: bits of what is compared (``comparison_bits``).
        t: bits that truncation drops of them.
        kept: K = k - t, all that can be compared.
        n: those that are.
        alone: loss with this layer's coins alone.
        cumulative: loss with those of this layer and of all before it.
    """

    name: str
    relus: int
    k: int
    t: int
    kept: int
    n: int
    alone: Loss
    cumulative: Loss


@dataclass(frozen=True, kw_only=True)
class CompareTable:
    """How bits were chosen: rows in the order of execution.

    Attributes:
        wanted: the loss that was allowed, a share.
        labelled: of accuracy; else of the labels of exact signs.
        pictures: that were looked at.
        draws: of the coins of each.
        layers: rows.
    """

    wanted: float
    labelled: bool
    pictures: int
    draws: int
    layers: tuple[ComparedLayer, ...]

    @property
    def bits(self) -> dict[str, int]:
        """N by node."""
        return {layer.name: layer.n for layer in self.layers}

    @property
    def total(self) -> Loss:
        """Of all coins together."""
        return self.layers[-1].cumulative if self.layers else Loss(0.0, 0.0, 0.0)

    @property
    def resolved(self) -> bool:
        """Whether so many pictures can tell the wanted loss from none."""
        return self.total.uncertainty <= self.wanted

    def as_json(self) -> dict[str, Any]:
        """Everything; losses as value, low, high."""
        layers = [
            asdict(layer) | {"alone": layer.alone._asdict(), "cumulative": layer.cumulative._asdict()}
            for layer in self.layers
        ]
        return asdict(self) | {"layers": layers, "total": self.total._asdict(), "resolved": self.resolved}


def search(public: PublicModel, fewest: Mapping[str, int], judge: WindowJudge, wanted: float) -> CompareTable:
    """The fewest bits that cost ``wanted`` at most, not below ``fewest``; all of a comparison where none will do."""
    found = _Search(public.ring, {node.name: node for node in public.graph}, judge, wanted)
    bits = {name: found.alone(name, least) for name, least in fewest.items()}
    found.raise_until_kept(bits)
    return CompareTable(
        wanted=wanted,
        labelled=judge.labelled,
        pictures=judge.count,
        draws=judge.draws,
        layers=tuple(found.row(name, bits) for name in bits),
    )


@dataclass
class _Search:
    ring: RingConfig
    nodes: Mapping[str, Node]
    judge: WindowJudge
    wanted: float
    judged: dict[tuple[tuple[str, int], ...], Judgement] = field(default_factory=dict)

    def alone(self, name: str, least: int) -> int:
        """The fewest bits of one comparison, from ``least`` on."""
        most = self._all_bits(name)
        bits = min(most, max(least, _START))
        while bits < most and not self._kept({name: bits}):
            bits += 1
        while bits > least and self._kept({name: bits - 1}):
            bits -= 1
        return bits

    def raise_until_kept(self, bits: dict[str, int]) -> None:
        """Add bits, one at a time, where they are needed most, until all together keep the loss."""
        while not self._kept(bits):
            raisable = [name for name, n in bits.items() if n < self._all_bits(name)]
            if not raisable:
                break
            bits[max(raisable, key=lambda name: (self._of({name: bits[name]}).changed, -bits[name]))] += 1

    def row(self, name: str, bits: Mapping[str, int]) -> ComparedLayer:
        node, before = self.nodes[name], list(bits)[: list(bits).index(name) + 1]
        return ComparedLayer(
            name=name,
            relus=node.active if isinstance(node, Relu) else 0,
            k=self.ring.comparison_bits[name],
            t=self.ring.shift(node),
            kept=self._all_bits(name),
            n=bits[name],
            alone=self._of({name: bits[name]}).loss,
            cumulative=self._of({one: bits[one] for one in before}).loss,
        )

    def _kept(self, bits: Mapping[str, int]) -> bool:
        """By the loss; by all labels that change where so few pictures could not tell the loss if none did."""
        found, telling = self._of(bits), paired_loss(np.zeros(self.judge.count)).uncertainty <= self.wanted
        return (found.loss.value if telling else found.changed) <= self.wanted

    def _of(self, bits: Mapping[str, int]) -> Judgement:
        few = {name: n for name, n in bits.items() if n < self._all_bits(name)}
        key = tuple(few.items())
        if key not in self.judged:
            ring = self.ring.model_copy(update={"compare_bits": few})
            self.judged[key] = self.judge({name: ring.window(self.nodes[name]) for name in few})
        return self.judged[key]

    def _all_bits(self, name: str) -> int:
        return self.ring.comparison_bits[name] - self.ring.shift(self.nodes[name])
