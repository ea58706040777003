"""How many bits each comparison sees: all, a number, or by layer the fewest that keep the labels.

``auto`` goes by sensitivity. For each ReLU and max-pool alone the fewest bits are found with which the signs' coins
leave the wanted share of labels; where all together leave fewer, the layer that alone costs most gets a bit more, until
they do. Labels are those of exact signs on the calibration pictures, in float: no labels are needed.
Fewer bits leave less room for values (``RingConfig.limit``): a comparison gets as many as keep the chance that one
overflows within what the export asked for, and the artifact states the sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph, MaxPool2d, Node, Relu
from pi_system.artifact.model import Masks, Weights
from pi_system.artifact.ring_config import RingConfig
from pi_system.export.ranges import Ranges, sum_log2, tail_log2
from pi_system.program.float_point import FloatInterpreter
from pi_system.ring.prg import Prg

CompareBits = int | Literal["auto", "full"]
_DRAWS = 4
_MOST = 12
"""Where the search starts: with 12 bits the window is 1/2048 of the range."""


@dataclass(frozen=True)
class CompareSearch:
    """What a choice is made on: a network with its ring, and pictures (N, C, H, W), preprocessed."""

    graph: Graph
    ring: RingConfig
    masks: Masks
    weights: Weights
    ranges: Ranges
    pictures: NDArray[np.float32]
    overflow_log2: float

    def choose(self, wanted: CompareBits, loss: float) -> RingConfig:
        """The ring with ``compare_bits``; ``loss``: share of labels that ``auto`` may change."""
        if wanted == "full":
            return self.ring
        bits = self._auto(loss) if wanted == "auto" else {name: max(wanted, n) for name, n in self._fewest().items()}
        return self._stated({name: n for name, n in bits.items() if n < self._all_bits(name)})

    def _auto(self, loss: float) -> dict[str, int]:
        fewest, exact, bits = self._fewest(), self._labels({}), {}
        alone: dict[tuple[str, int], float] = {}
        for name, least in fewest.items():
            bits[name] = min(_MOST, self._all_bits(name))
            while bits[name] > least:
                alone[name, bits[name] - 1] = self._changed(exact, {name: bits[name] - 1})
                if alone[name, bits[name] - 1] > loss:
                    break
                bits[name] -= 1
        while bits and self._changed(exact, bits) > loss:
            raisable = [name for name, n in bits.items() if n < self._all_bits(name)]
            if not raisable:
                break
            bits[max(raisable, key=lambda name: (alone.get((name, bits[name]), 0.0), -bits[name]))] += 1
        return bits

    def _changed(self, exact: NDArray[np.int64], bits: Mapping[str, int]) -> float:
        return float(np.mean([self._labels(bits, draw) != exact for draw in range(_DRAWS)]))

    def _labels(self, bits: Mapping[str, int], draw: int = 0) -> NDArray[np.int64]:
        ring = self.ring.model_copy(update={"compare_bits": dict(bits)})
        windows = {name: ring.window(self._nodes[name]) for name in bits}
        coins = Prg(draw.to_bytes(16, "little"))
        interpreter = FloatInterpreter(self.masks, self.weights, random_signs=(windows, coins))
        logits = interpreter.run(self.graph, torch.from_numpy(self.pictures)).numpy()
        labels: NDArray[np.int64] = logits.argmax(axis=1)
        return labels

    def _fewest(self) -> dict[str, int]:
        """Of each comparison the fewest bits whose range is still as sure as asked for."""
        fewest = {}
        for node in self.graph:
            if isinstance(node, Relu | MaxPool2d):
                choices = range(2, self._all_bits(node.name))
                sure = (n for n in choices if self._overflow_log2(node.name, n) <= self.overflow_log2)
                fewest[node.name] = next(sure, self._all_bits(node.name))
        return fewest

    def _overflow_log2(self, name: str, bits: int) -> float:
        node, ring = self._nodes[name], self.ring.model_copy(update={"compare_bits": {name: bits}})
        entry = 2 if isinstance(node, MaxPool2d) else 1  # a max-pool compares differences
        limit = ring.limit(node) / entry * 2.0 ** -ring.frac_bits[node.inputs[0]]
        return tail_log2(self.ranges.compared[name], limit)

    def _stated(self, bits: dict[str, int]) -> RingConfig:
        """The ring with ``bits``; the chance of an overflow has theirs added."""
        terms = [self.ring.overflow_log2, *(self._overflow_log2(name, n) for name, n in bits.items())]
        return self.ring.model_copy(update={"compare_bits": bits, "overflow_log2": min(0.0, sum_log2(terms))})

    def _all_bits(self, name: str) -> int:
        return self.ring.comparison_bits[name] - self.ring.shift(self._nodes[name])

    @property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.graph}
