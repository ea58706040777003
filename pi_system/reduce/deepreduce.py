"""DeepReDuce: drop the ReLUs of the least critical stages (culling), then every second ReLU layer (thinning).

Culling removes whole stages, least critical first; the stem goes with stage 1. Thinning keeps one ReLU layer
a block, the last one (after the addition). Of all combinations within the budget the one with the most ReLUs
is taken, with less thinning on a tie, and finetuned with distillation from the network it came from.

Source: Jha, Ghodsi, Garg, Reagen, ICML 2021, arXiv 2103.01396, steps 1 and 2. Its third step, scaling channels,
is a choice of network here (``resnet18:m=32``). The paper returns a Pareto set; one budget picks one point.
"""

import copy
from dataclasses import asdict, dataclass

from pi_system.errors import ConfigError
from pi_system.reduce.criticality import measure_criticality
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.train.loop import fit
from pi_system.train.networks import Classifier
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap

__all__ = ["Configuration", "DeepReduce", "configurations"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Stages whose ReLUs are kept, and whether only one ReLU layer a block is."""

    stages: tuple[int, ...]
    thin: bool

    def relu_map(self, network: Classifier) -> ReluMap:
        """The map of this configuration, within the positions the network has active now."""
        relus = named_relus(network)
        last = {(relu.stage, relu.block): name for name, relu in relus.items()}
        masks = {}
        for name, relu in relus.items():
            kept = relu.stage in self.stages and not (self.thin and last[relu.stage, relu.block] != name)
            masks[name] = relu.mask.cpu() & kept
        return ReluMap(masks)


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
    """Stage culling and thinning.

    ``order`` gives the stages, most critical first, as ``3,2,4,1``; left empty, criticality is measured with
    ``criticality_epochs`` epochs of finetuning for each stage.
    """

    order: str = ""
    criticality_epochs: int = 2

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``. An impossible budget is refused before anything is trained, if it can be.

        Raises:
            ConfigError: the order is not one of the network's stages, or even one thinned stage is over budget.
            Interrupted: stopped; the same task resumes.
        """
        stages = tuple(sorted({relu.stage for relu in named_relus(task.network).values() if relu.active}))
        given = _parse_order(self.order, stages) if self.order else None
        _choose(task, [Configuration((s,), True) for s in (given or stages)[: 1 if given else None]])
        measured = [] if given else measure_criticality(task, self.criticality_epochs)
        order = given or tuple(entry.stage for entry in measured)
        chosen = _choose(task, configurations(order))
        network = copy.deepcopy(task.network)
        chosen.relu_map(task.network).apply(network)
        fitted = fit(
            network,
            task.data,
            task.finetune,
            teacher=copy.deepcopy(task.network),
            checkpoint=task.checkpoint("finetune"),
            label="finetune",
            on_epoch=task.on_epoch,
            progress=task.progress,
        )
        report = {
            "stages_kept": list(chosen.stages),
            "thinned": chosen.thin,
            "criticality_order": list(order),
            "criticality": [asdict(entry) for entry in measured],
        }
        return ReductionResult(spec=task.spec, network=network, fitted=fitted, report=report)


def _choose(task: ReductionTask, candidates: list[Configuration]) -> Configuration:
    """The candidate with the most ReLUs within the budget; the earlier one on a tie."""
    counts = {candidate: candidate.relu_map(task.network).count for candidate in candidates}
    fitting = [candidate for candidate in candidates if 0 < counts[candidate] <= task.budget]
    if not fitting:
        least = min(count for count in counts.values() if count)
        raise ConfigError(
            f"budget: expected at least {least} ReLUs, the least that culling and thinning reach here; "
            f"found {task.budget}"
        )
    return max(fitting, key=counts.__getitem__)


def _parse_order(text: str, stages: tuple[int, ...]) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if sorted(parts) != sorted(str(stage) for stage in stages):
        raise ConfigError(f"order: expected each stage of {stages} once, as '3,2,4,1'; found {text!r}")
    return tuple(int(part) for part in parts)
