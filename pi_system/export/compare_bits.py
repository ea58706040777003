"""How many bits each comparison of an exported network sees: all, a number, given ones, or ``auto`` (compare_auto.py).

Fewer bits leave less room for values (``RingConfig.limit``): a comparison gets as many as keep the chance that one
overflows within what the export asked for, and the artifact states the sum. Scores get a step above the coins' noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import MaxPool2d, Node, Relu
from pi_system.artifact.model import Artifact
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import ConfigError
from pi_system.export.compare_auto import CompareTable, search
from pi_system.export.compare_loss import Judged, WindowJudge
from pi_system.export.ranges import Ranges, calibrate, sum_log2, tail_log2
from pi_system.export.score_step import step_of_coins

CompareBits = int | Mapping[str, int] | Literal["auto", "full"]
_OVERFLOW_LOG2: Final = -20.0
_LOSS: Final = {True: 0.001, False: 0.002}
"""What ``auto`` may cost, with and without labels: 0.1 points of accuracy, or 99.8 % of the labels stay."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """How many bits comparisons see.

    Attributes:
        bits: of every ReLU and max-pool, of some by name, or see the module; a comparison whose range asks for more
            gets more.
        loss: share of accuracy, or without labels of labels, that ``auto`` may cost; None: see ``_LOSS``.
        pictures: how many ``auto`` looks at; None for what a few seconds a step allow.
        overflow_log2: bound asked for on the estimated chance that a picture leaves a range.
    """

    bits: CompareBits = "full"
    loss: float | None = None
    pictures: int | None = None
    overflow_log2: float = _OVERFLOW_LOG2

    def __post_init__(self) -> None:
        """Raises ConfigError: such bits there are none."""
        if isinstance(self.bits, str) and self.bits in ("auto", "full"):
            return
        of, words = (" of a layer", "") if isinstance(self.bits, Mapping) else ("", "full, auto or ")
        for bits in self.bits.values() if isinstance(self.bits, Mapping) else [self.bits]:
            if not isinstance(bits, int) or not 2 <= bits <= 63:
                raise ConfigError(f"compare_bits{of}: expected {words}2 to 63, found {bits!r:.40}")


def choose_compare_bits(
    artifact: Artifact, calibration: NDArray[np.float32], options: CompareOptions, judged: Judged | None = None
) -> tuple[Artifact, CompareTable | None]:
    """The artifact with ``compare_bits``, all bits before; of ``auto`` also how they were found.

    Args:
        artifact: whose ring is kept but for this.
        calibration: pictures (N, C, H, W), preprocessed, that ranges are estimated on.
        options: how many.
        judged: what ``auto`` measures losses on; None for the calibration pictures, without labels.

    Raises:
        ConfigError: bits are given for what is no ReLU or max-pool, or ``auto`` for a network with one output.
    """
    if options.bits == "full":
        return artifact, None
    graph = artifact.public.graph
    room = _Room(artifact, calibrate(graph, artifact.masks, artifact.weights, calibration), options.overflow_log2)
    if isinstance(options.bits, int):
        room = room.widened(options.bits)
    if options.bits != "auto":
        return room.with_bits(room.at_least(options.bits), calibration), None
    judge = WindowJudge(artifact, judged or Judged(calibration), options.pictures)
    loss = _LOSS[judge.labelled] if options.loss is None else options.loss
    table = search(artifact.public, room.fewest, judge, loss)
    return room.with_bits(table.bits, calibration), table


@dataclass(frozen=True)
class _Room:
    artifact: Artifact
    ranges: Ranges
    overflow_log2: float

    @cached_property
    def fewest(self) -> dict[str, int]:
        """Of each comparison the fewest bits whose range is still as sure as asked for."""
        fewest = {}
        for name in self._nodes:
            sure = (n for n in range(2, self._all_bits(name)) if self._leaves_log2(name, n) <= self.overflow_log2)
            fewest[name] = next(sure, self._all_bits(name))
        return fewest

    def widened(self, bits: int) -> "_Room":
        """With a bit more in comparisons of more than ``bits`` whose range bears no coins, if the ring has it."""
        found = self._ring.comparison_bits
        tight = [name for name, least in self.fewest.items() if bits < least == self._all_bits(name)]
        wider = {name: found[name] + 1 for name in tight}
        wider = {name: compared for name, compared in wider.items() if compared <= self._ring.ring_bits}
        return replace(self, artifact=self._changed(comparison_bits=found | wider)) if wider else self

    def at_least(self, wanted: int | Mapping[str, int]) -> dict[str, int]:
        """``wanted``, or more where the range asks for more."""
        if isinstance(wanted, int):
            return {name: max(wanted, least) for name, least in self.fewest.items()}
        if unknown := ", ".join(str(name) for name in wanted if name not in self.fewest)[:128]:
            there = ", ".join(self.fewest)[:256] or "none"
            raise ConfigError(f"compare_bits: expected ReLUs and max-pools (here {there}), found {unknown}")
        return {name: max(bits, self.fewest[name]) for name, bits in wanted.items()}

    def with_bits(self, bits: Mapping[str, int], pictures: NDArray[np.float32]) -> Artifact:
        """The artifact with those of ``bits`` that are not all, with their chance of an overflow and their noise."""
        few = {name: n for name, n in bits.items() if n < self._all_bits(name)}
        if not few:
            return self.artifact
        terms = [self._ring.overflow_log2, *(self._leaves_log2(name, n) for name, n in few.items())]
        stated = {"compare_bits": few, "overflow_log2": min(0.0, sum_log2(terms))}
        return self._changed(**stated, score_step_log2=step_of_coins(self._changed(**stated), pictures))

    def _changed(self, **ring: Any) -> Artifact:
        public = self.artifact.public
        return Artifact.create(
            name=public.name,
            graph=public.graph,
            ring=self._ring.model_copy(update=ring),
            preprocess=public.preprocess,
            masks=self.artifact.masks,
            weights=self.artifact.weights,
            accuracy=public.accuracy,
        )

    def _leaves_log2(self, name: str, bits: int) -> float:
        node, ring = self._nodes[name], self._ring.model_copy(update={"compare_bits": {name: bits}})
        entry = 2 if isinstance(node, MaxPool2d) else 1  # a max-pool compares differences
        limit = ring.limit(node) / entry * 2.0 ** -ring.frac_bits[node.inputs[0]]
        return tail_log2(self.ranges.compared_channels[name], limit)

    def _all_bits(self, name: str) -> int:
        return self._ring.comparison_bits[name] - self._ring.shift(self._nodes[name])

    @property
    def _ring(self) -> RingConfig:
        return self.artifact.public.ring

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.artifact.public.graph if isinstance(node, Relu | MaxPool2d)}
