"""DeepReDuce: drop the ReLUs of the least critical stages (culling), then every second ReLU layer (thinning).

Culling removes whole stages, least critical first; the stem goes with stage 1. Thinning keeps one ReLU layer
a block, the last one (after the addition). Reshaping, the third step, scales channels or feature maps. Criticality is
measured on the network that is reduced (see ``criticality``). Of the combinations within a budget the one with the
most ReLUs is taken, with less reshaping, then less thinning, on a tie, and trained with distillation from the network
it came from. ``reshape`` reshapes what was culled and thinned before, as all published points were. ``pareto`` trains
all combinations.

Source: ``DeepReduce.SOURCE``. Taking the most ReLUs that fit is our choice: the
paper returns a Pareto set and leaves the budget to its reader. Not verified: that the paper trains every chosen
network from new weights (``start=new``; a reshaped one always is), and the measure of criticality.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from pi_system.reduce.configurations import (
    Candidate,
    Configuration,
    Reshaping,
    candidates,
    choose,
    configurations,
    in_order,
    parse_stages,
    reshapings,
)
from pi_system.reduce.criticality import StageCriticality, measure_criticality
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.presets import Preset
from pi_system.reduce.training import refuse_mixed, train_new, train_student
from pi_system.train.loop import FitResult
from pi_system.train.networks import Classifier
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec

_NEW = ("channels", "stride", "reshape", "start=new")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepReduce:
    """Culling, thinning and reshaping: whole stages, then every second ReLU layer, then channels or feature maps."""

    REDUCES: ClassVar[str] = "ReLU layers, by stage and block; channels and feature maps"
    SOURCE: ClassVar[str] = "Jha, Ghodsi, Garg, Reagen, ICML 2021, arXiv 2103.01396"
    DIFFERS: ClassVar[str] = (
        "the configuration with the most ReLUs within the budget is taken; the paper returns a Pareto set "
        "(`pi-train pareto`); weights are inherited unless `start=new`"
    )

    SMALLER: ClassVar[tuple[str, ...]] = (
        "reshape=true",
        "tries narrower and coarser networks, too",
        "channels",
        "stride",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        # Of the recipe the paper's 200 epochs, cosine and batch are from memory, not verified.
        "paper": Preset(
            recipe={"epochs": 200, "batch_size": 128, "learning_rate": 0.1}, options={"start": "new", "reshape": "true"}
        ),
    }

    order: str = option("", "The stages, most critical first, as 3,2,4,1; left empty, criticality is measured.")
    criticality_epochs: int = option(
        2, "Epochs of finetuning for each stage measured.", within="[0, 100000]", unless=("order", "keep")
    )
    keep: str = option("", "Stages to keep, as 3,2, instead of choosing by the budget.", unless=("order",))
    thin: bool = option(False, "One ReLU layer a block.", needs=("keep",))
    reshape: bool = option(
        False, "Choose among culled and thinned networks made narrower and coarser, too.", unless=("channels", "stride")
    )
    channels: float = option(
        1.0, "Reshape the widths: m becomes this share; trained from new weights.", within="(0, 1]"
    )
    stride: int = option(1, "Reshape the feature maps: the stem's stride; 2 halves height and width.", within="[1, 4]")
    start: str = option("inherited", "Weights of a network that is not reshaped.", choices=("inherited", "new"))
    extra_epochs: int = option(0, "Epochs more, of a network with new weights.", within="[0, 100000]", needs=_NEW)
    learning_rate: float = option(0.1, "Of the training of a network with new weights.", within="(0, inf)", needs=_NEW)

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``. An impossible budget is refused before anything is trained, if it can be.

        Raises:
            BudgetError: even one thinned stage is over the budget.
            ConfigError: the stages named are not the network's, or it has polynomials, which would stay.
            Interrupted: stopped; the same task resumes.
        """
        refuse_mixed(task.network)
        shapes = self._shapes(task.spec)
        order, measured = self._order(task, shapes)
        steps = [Configuration(tuple(sorted(order)), self.thin)] if self.keep else configurations(order)
        chosen = choose(self._candidates(task, shapes, steps), task.budget)
        spec = chosen.reshaping.of(task.spec)
        network, fitted = self._train(task, spec, chosen)
        report = {
            "stages_kept": list(chosen.configuration.stages),
            "thinned": chosen.configuration.thin,
            **asdict(chosen.reshaping),
            "new_weights": self._is_new(task.spec, chosen),
            "criticality_order": list(order),
            "criticality": [asdict(entry) for entry in measured],
        }
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def _shapes(self, spec: NetworkSpec) -> Sequence[Reshaping]:
        return reshapings(spec) if self.reshape else (Reshaping(self.channels, self.stride),)

    def _candidates(
        self, task: ReductionTask, shapes: Sequence[Reshaping], steps: Sequence[Configuration]
    ) -> list[Candidate]:
        found = candidates(task.spec, task.network, shapes, steps)
        return in_order(found) if self.reshape else found

    def _order(
        self, task: ReductionTask, shapes: Sequence[Reshaping]
    ) -> tuple[tuple[int, ...], list[StageCriticality]]:
        """Stages to keep, most critical first, and the measurements that the order comes from."""
        stages = tuple(sorted({relu.stage for relu in named_relus(task.network).values() if relu.active}))
        if self.keep:
            return parse_stages("keep", self.keep, stages, all_of_them=False), []
        given = parse_stages("order", self.order, stages, all_of_them=True) if self.order else None
        last = [Configuration((stage,), True) for stage in (given[:1] if given else stages)]
        choose(self._candidates(task, shapes, last), task.budget)  # refuses before it measures
        measured = [] if given else measure_criticality(task, self.criticality_epochs)
        return given or tuple(entry.stage for entry in measured), measured

    def _is_new(self, spec: NetworkSpec, chosen: Candidate) -> bool:
        """Whether it is trained from new weights, by ``learning_rate`` and ``extra_epochs``."""
        return self.start == "new" or chosen.reshaping.of(spec) != spec

    def _train(self, task: ReductionTask, spec: NetworkSpec, chosen: Candidate) -> tuple[Classifier, FitResult]:
        same = chosen.configuration.relu_map(task.network) if spec == task.spec else None
        if same is not None and not self._is_new(task.spec, chosen):
            network = copy.deepcopy(task.network)
            same.apply(network)
            return network, train_student(task, network, task.finetune, "finetune")

        def prepare(built: Classifier) -> None:
            (same or chosen.configuration.relu_map(built)).apply(built)

        return train_new(task, spec, prepare, self.extra_epochs, self.learning_rate)
