"""DeepReDuce: drop the ReLUs of the least critical stages (culling), then every second ReLU layer (thinning).

Culling removes whole stages, least critical first; the stem goes with stage 1. Thinning keeps one ReLU layer
a block, the last one (after the addition). Reshaping scales channels or feature maps; the new network is trained
from new weights. Of all combinations within a budget the one with the most ReLUs is taken, with less thinning on
a tie, and trained with distillation from the network it came from. ``pareto`` tries all combinations.

Source: ``DeepReduce.SOURCE``. Taking the most ReLUs that fit is our choice: the
paper returns a Pareto set and leaves the budget to its reader.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.criticality import StageCriticality, measure_criticality
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.training import train_new, train_student
from pi_system.train.loop import FitResult
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec

__all__ = ["Configuration", "DeepReduce", "configurations"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Stages whose ReLUs are kept, and whether only one ReLU layer a block is."""

    stages: tuple[int, ...]
    thin: bool

    def layers(self, relus: Mapping[str, MaskedReLU]) -> list[str]:
        """Names of the ReLU layers that are kept."""
        last = {(relu.stage, relu.block): name for name, relu in relus.items()}
        return [
            name
            for name, relu in relus.items()
            if relu.stage in self.stages and not (self.thin and last[relu.stage, relu.block] != name)
        ]

    def relu_map(self, network: Classifier) -> ReluMap:
        """The map of this configuration, within the positions the network has active now."""
        relus = named_relus(network)
        kept = set(self.layers(relus))
        return ReluMap({name: relu.mask.cpu() & (name in kept) for name, relu in relus.items()})


def configurations(order: tuple[int, ...]) -> list[Configuration]:
    """All combinations of culling and thinning, from the most ReLU layers down.

    Args:
        order: stages, most critical first.
    """
    return [
        Configuration(tuple(sorted(order[:kept])), thin) for kept in range(len(order), 0, -1) for thin in (False, True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepReduce:
    """Culling, thinning and reshaping: whole stages, then every second ReLU layer, then channels or feature maps."""

    REDUCES: ClassVar[str] = "ReLU layers, by stage and block; channels and feature maps"
    SOURCE: ClassVar[str] = "Jha, Ghodsi, Garg, Reagen, ICML 2021, arXiv 2103.01396"

    order: str = option("", "The stages, most critical first, as 3,2,4,1; left empty, criticality is measured.")
    criticality_epochs: int = option(2, "Epochs of finetuning for each stage measured.", unless=("order", "keep"))
    keep: str = option("", "Stages to keep, as 3,2, instead of choosing by the budget.", unless=("order",))
    thin: bool = option(False, "One ReLU layer a block.", needs=("keep",))
    channels: float = option(1.0, "Reshape the widths: m becomes this share; trained from new weights.")
    stride: int = option(1, "Reshape the feature maps: the stem's stride; 2 halves height and width.")
    extra_epochs: int = option(0, "Epochs more, of a reshaped network.", needs=("channels", "stride"))
    learning_rate: float = option(0.1, "Of the training of a reshaped network.", needs=("channels", "stride"))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``. An impossible budget is refused before anything is trained, if it can be.

        Raises:
            BudgetError: even one thinned stage is over the budget.
            ConfigError: the stages named are not the network's.
            Interrupted: stopped; the same task resumes.
        """
        spec = self._reshaped(task.spec)
        network = copy.deepcopy(task.network) if spec == task.spec else build_network(spec, device="cpu", seed=0)
        stages = tuple(sorted({relu.stage for relu in named_relus(network).values() if relu.active}))
        measured: list[StageCriticality] = []
        if self.keep:
            order = _parse_stages(self.keep, stages)
            candidates = [Configuration(tuple(sorted(order)), self.thin)]
        else:
            given = _parse_order(self.order, stages) if self.order else None
            _choose(
                network, task.budget, [Configuration((s,), True) for s in (given or stages)[: 1 if given else None]]
            )
            measured = [] if given else measure_criticality(task, self.criticality_epochs)
            order = given or tuple(entry.stage for entry in measured)
            candidates = configurations(order)
        chosen = _choose(network, task.budget, candidates)
        network, fitted = self._train(task, spec, network, chosen)
        report = {
            "stages_kept": list(chosen.stages),
            "thinned": chosen.thin,
            "criticality_order": list(order),
            "criticality": [asdict(entry) for entry in measured],
        }
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def _reshaped(self, spec: NetworkSpec) -> NetworkSpec:
        if not 0 < self.channels <= 1:
            raise ConfigError(f"channels: expected above 0 and at most 1; found {self.channels}")
        return replace(spec, m=max(1, round(spec.m * self.channels)), stride=spec.stride * self.stride)

    def _train(
        self, task: ReductionTask, spec: NetworkSpec, network: Classifier, chosen: Configuration
    ) -> tuple[Classifier, FitResult]:
        relu_map = chosen.relu_map(network)
        if spec != task.spec:
            return train_new(task, spec, relu_map.apply, self.extra_epochs, self.learning_rate)
        relu_map.apply(network)
        return network, train_student(task, network, task.finetune, "finetune")


def _choose(network: Classifier, budget: int, candidates: list[Configuration]) -> Configuration:
    """The candidate with the most ReLUs within the budget; the earlier one on a tie."""
    counts = {candidate: candidate.relu_map(network).count for candidate in candidates}
    fitting = [candidate for candidate in candidates if 0 < counts[candidate] <= budget]
    if not fitting:
        least = min((count for count in counts.values() if count), default=0)
        raise BudgetError(least, "the least that culling and thinning reach here", budget)
    return max(fitting, key=counts.__getitem__)


def _parse_order(text: str, stages: tuple[int, ...]) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if sorted(parts) != sorted(str(stage) for stage in stages):
        raise ConfigError(f"order: expected each stage of {stages} once, as '3,2,4,1'; found {text!r}")
    return tuple(int(part) for part in parts)


def _parse_stages(text: str, stages: tuple[int, ...]) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(set(parts)) != len(parts) or not set(parts) <= {str(stage) for stage in stages}:
        raise ConfigError(f"keep: expected some of the stages {stages}, as '3,2'; found {text!r}")
    return tuple(int(part) for part in parts)
