"""Controls: what a method must beat. Masks drawn at random, and a network that is merely narrower."""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from pi_system.errors import BudgetError
from pi_system.reduce.indicators import indicator_shape
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.selection import check_reachable, select_best
from pi_system.reduce.training import apply_masks, relus_of, train_new, train_student
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec

__all__ = ["Narrower", "RandomMask", "widest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMask:
    """Keep positions, or whole channels, drawn uniformly from the active ones, and finetune.

    The draw is seeded by the recipe's seed.
    """

    REDUCES: ClassVar[str] = "ReLUs, by pixel or channel"
    SOURCE: ClassVar[str] = "none: a control"

    granularity: str = option("pixel", "What is drawn.", choices=("pixel", "channel"))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``."""
        relus = named_relus(task.network)
        shapes = {name: indicator_shape(relu, self.granularity) for name, relu in relus.items()}
        allowed = {name: relu.mask.cpu() for name, relu in relus.items()}
        check_reachable(allowed, shapes, task.budget)
        generator = torch.Generator().manual_seed(task.finetune.seed)
        scores = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
        student = copy.deepcopy(task.network)
        apply_masks(named_relus(student), select_best(scores, allowed, task.budget))
        fitted = train_student(task, student, task.finetune, "finetune")
        report = {"granularity": self.granularity, "layers": ReluMap.of(student).counts}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrower:
    """The same network with the largest base width m whose ReLUs, all kept, are within the budget."""

    REDUCES: ClassVar[str] = "channels of the whole network"
    SOURCE: ClassVar[str] = "none: a control"

    extra_epochs: int = option(0, "Trained from new weights, it needs more than a finetuning: so many epochs more.")
    learning_rate: float = option(0.1, "Of that training.")

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
