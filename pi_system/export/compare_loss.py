"""What comparisons of few bits cost in accuracy: paired with exact signs on the same pictures, with an interval.

A picture's loss is 1 where exact signs give its label and coins do not, -1 the other way round, else 0; its mean over
draws of the coins is what counts. Without labels the label of exact signs is the picture's. Intervals are 95 %, by
Bonett and Price (Adjusted Wald confidence interval for a difference of binomial proportions based on paired data,
Journal of Educational and Behavioral Statistics 37, 2012): two pictures more, one lost and one won, so that few
pictures without a change prove little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pi_system.artifact.model import Artifact
from pi_system.errors import ConfigError
from pi_system.program.counts import mac_count
from pi_system.program.float_point import FloatInterpreter
from pi_system.ring.prg import Prg

_Z: Final = 1.96
_BATCH: Final = 256
_MACS: Final = 5e10
"""Multiply-accumulates of judging one draw, a second or two of a core: as many pictures as they allow. More: a smaller
loss can be told; fewer: a faster export."""
_JUDGEMENTS: Final = 4096
"""Pictures times draws that are wanted: few pictures get more draws."""
_DRAWS: Final = (1, 32)
"""At least and at most."""


class Loss(NamedTuple):
    """Accuracy lost, a share of the pictures, negative where some is won, and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def uncertainty(self) -> float:
        """Half of the interval: a smaller loss cannot be told from none."""
        return (self.high - self.low) / 2


def paired_loss(lost: NDArray[np.float64]) -> Loss:
    """Of each picture's loss, (N,), from -1 to 1."""
    count, total = len(lost), float(lost.sum())
    centre = total / (count + 2)
    half = _Z * (float((lost**2).sum()) + 2 - total * centre) ** 0.5 / (count + 2)
    return Loss(total / count, centre - half, centre + half)


@dataclass(frozen=True)
class Judged:
    """Pictures (N, C, H, W), preprocessed, that nothing was trained on, and their classes (N,), if they are known."""

    pictures: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None


class Judgement(NamedTuple):
    """Loss of accuracy, and share of the labels that coins change, whether for better or worse."""

    loss: Loss
    changed: float


class WindowJudge:
    """Measures what windows of random signs cost a network, by the float interpreter: the same calls, the same result.

    Attributes:
        labelled: the pictures' classes are known.
        count: pictures that are looked at: an even selection of what there is.
        draws: of the coins of each.
    """

    def __init__(self, artifact: Artifact, judged: Judged, most: int | None = None) -> None:
        """Look at ``most`` pictures; None for what a few seconds allow. Raises ConfigError: there are no classes."""
        if artifact.public.graph.nodes[-1].shape[0] < 2:
            raise ConfigError("compare bits: expected a number for a network of one output, found auto")
        macs = max(1, mac_count(artifact.public.graph))
        self.count = min(len(judged.pictures), most or max(2, int(_MACS / macs)))
        self.draws = min(max(_JUDGEMENTS // self.count, _DRAWS[0]), _DRAWS[1])
        self.labelled = judged.labels is not None
        chosen = np.linspace(0, len(judged.pictures) - 1, self.count).astype(int)
        self._artifact, self._pictures = artifact, torch.from_numpy(np.ascontiguousarray(judged.pictures[chosen]))
        self._given = None if judged.labels is None else judged.labels[chosen]

    def __call__(self, windows: Mapping[str, float]) -> Judgement:
        """Of signs that are random in these windows (``RingConfig.window``), by node."""
        drawn = np.stack([self._labels(windows, draw) for draw in range(self.draws)])
        right = (drawn == self._truth).mean(axis=0)
        return Judgement(paired_loss((self._exact == self._truth) - right), float((drawn != self._exact).mean()))

    @cached_property
    def _exact(self) -> NDArray[np.int64]:
        return self._labels({}, 0)

    @property
    def _truth(self) -> NDArray[np.int64]:
        return self._exact if self._given is None else self._given

    def _labels(self, windows: Mapping[str, float], draw: int) -> NDArray[np.int64]:
        coins = Prg(draw.to_bytes(16, "little"))
        interpreter = FloatInterpreter(self._artifact.masks, self._artifact.weights, random_signs=(windows, coins))
        graph = self._artifact.public.graph
        return np.concatenate(
            [interpreter.run(graph, part).argmax(1).numpy() for part in torch.split(self._pictures, _BATCH)]
        )
