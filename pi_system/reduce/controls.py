"""Controls: what a method must beat. Masks drawn at random, a narrower network, and extra epochs alone."""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

from pi_system.errors import BudgetError
from pi_system.reduce.gradual import shrink
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import epochs_of_new_weights, option, rate_of_new_weights
from pi_system.reduce.training import relus_of, train_new, train_student
from pi_system.train.spec import NetworkSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMask:
    """Keep positions, channels or layers drawn uniformly, on the schedule of gradual or all at once.

    The draw is seeded by the recipe's seed.
    """

    REDUCES: ClassVar[str] = "ReLUs, by pixel, channel or layer"
    SOURCE: ClassVar[str] = "none: a control"

    granularity: str = option("pixel", "What is drawn.", choices=("pixel", "channel", "layer"))
    schedule: str = option("gradual", "How the others go.", choices=("gradual", "once"))
    search: float = option(
        0.5, "Share of the recipe's epochs in which they go.", within="[0, 1]", unless=("schedule=once",)
    )

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one entry is within the budget.
            Interrupted: stopped; the same task resumes.
        """
        share = self.search if self.schedule == "gradual" else 0.0
        return shrink(task, self.granularity, "random", share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The network with all its ReLUs, whatever the budget, with the same extra epochs and distillation."""

    REDUCES: ClassVar[str] = "nothing"
    SOURCE: ClassVar[str] = "none: a control"
    KEEPS_RELUS: ClassVar[bool] = True

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``, but for the budget.

        Raises:
            Interrupted: stopped; the same task resumes.
        """
        student = copy.deepcopy(task.network)
        fitted = train_student(task, student, task.finetune, "finetune")
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrower:
    """The same network with the largest base width m whose ReLUs, all kept, are within the budget."""

    REDUCES: ClassVar[str] = "channels of the whole network"
    SOURCE: ClassVar[str] = "none: a control"

    extra_epochs: int = epochs_of_new_weights()
    learning_rate: float = rate_of_new_weights()

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: even m = 1 is over the budget.
            Interrupted: stopped; the same task resumes.
        """
        spec = widest(task.spec, task.budget)
        network, fitted = train_new(task, spec, None, self.extra_epochs, self.learning_rate)
        return ReductionResult(spec=spec, network=network, fitted=fitted, report={"m": spec.m})


def widest(spec: NetworkSpec, budget: int) -> NetworkSpec:
    """The network of the largest m within a budget: ReLU counts are proportional to m.

    Raises:
        BudgetError: even m = 1 is over the budget.
    """
    least = relus_of(replace(spec, m=1))
    if least > budget:
        raise BudgetError(least, f"those of {spec.base} with m=1", budget)
    return replace(spec, m=budget // least)
