"""What each ReLU layer and each stage is worth, with its sign, beside what its weights are worth.

Of a trained network as it is: the rise of the loss when a layer, or all of a stage, loses its ReLUs (negative where the
network is better off), and the share of the weights in front of a layer that a global pruning keeps. SENet (Kundu et
al., ICLR 2023, arXiv 2301.09254) observes that the two are inverse: layers whose weights survive pruning do without
their ReLUs. The rank correlation says how far that holds here, by layer and by ReLU.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.sensitivity import loss_of_layers, loss_of_stages, pruning_density
from pi_system.train.relu import named_relus


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSensitivity:
    """One ReLU layer: active ReLUs, rise of the loss without them, share of the weights before it that are kept."""

    name: str
    stage: int
    relus: int
    rise: float
    density: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityReport:
    """Layers in the order of execution, and the rise of the loss by stage.

    ``by_layer`` is Spearman's rank correlation of rise and density over layers, ``by_relu`` that of the rise a ReLU and
    density; NaN where one of the two does not vary. SENet's claim is that they are negative.
    """

    layers: tuple[LayerSensitivity, ...]
    stages: Mapping[int, float]
    pruned_to: float
    by_layer: float
    by_relu: float

    @property
    def better_without(self) -> tuple[str, ...]:
        """Layers without whose ReLUs the loss is lower."""
        return tuple(layer.name for layer in self.layers if layer.rise < 0)

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON; correlations that are not defined are null."""
        plain = asdict(self)
        correlations = {key: None if math.isnan(plain[key]) else plain[key] for key in ("by_layer", "by_relu")}
        stages = {str(stage): rise for stage, rise in self.stages.items()}
        return plain | correlations | {"stages": stages, "better_without": list(self.better_without)}


def sensitivity_report(task: ReductionTask, *, density: float = 0.1) -> SensitivityReport:
    """Measure every layer and stage of the task's network; nothing is trained.

    Args:
        task: gives the network and the training pictures looked at.
        density: of the pruning, a share of the weights.
    """
    rise, kept, relus = loss_of_layers(task), pruning_density(task, density), named_relus(task.network)
    layers = tuple(
        LayerSensitivity(name=name, stage=relu.stage, relus=relu.active, rise=rise[name], density=kept[name])
        for name, relu in relus.items()
        if relu.active
    )
    densities = [layer.density for layer in layers]
    return SensitivityReport(
        layers=layers,
        stages=loss_of_stages(task),
        pruned_to=density,
        by_layer=spearman([layer.rise for layer in layers], densities),
        by_relu=spearman([layer.rise / layer.relus for layer in layers], densities),
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; ties share their mean rank; NaN if one side does not vary."""
    x, y = (_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second))
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else math.nan


def _ranks(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: np.ndarray[Any, np.dtype[np.float64]] = (last - (count - 1) / 2)[place]
    return ranks
