"""SNL: single ReLUs, or channels of them, are turned into identities while the network learns to do without.

``lasso`` is the paper's Algorithm 1: y = alpha ReLU(x) + (1 - alpha) x with a trained alpha a position; the loss
is cross-entropy + distillation + lambda |alpha|_1, with Adam at 1e-3. lambda grows by 1.1 after each epoch (from
the fifth on) in which the number of alphas above 0.01 did not reach a new minimum. Once that number is within
the budget, alphas become 0 or 1, stay so, and the network is finetuned with distillation. Where the last epoch
overshot, or ``search_epochs`` were not enough, the budget's worth of largest alphas is kept, so the count is
exact. Checked against the authors' code; weighting a channel's alpha by its ReLUs is our choice.

``fast``, the default, has no alphas: the network is trained with a mask that is 0 or 1 all the time and shrinks
to the budget on a cubic schedule (see ``budget_schedule``), so nothing is lost in rounding, and search and
finetuning together take the epochs of the recipe. Measured on 30 classes of CIFAR-100, ResNet18 of width 8, 12.5 % of
its ReLUs, 6 epochs of finetuning, one seed, 3,000 test pictures: 64.7 % after 2 epochs of search against 65.5 % after
20 of ``lasso``; 64.4 % with all ReLUs. So a tenth of the search costs at most about a point; more was not resolved.

Source: ``Snl.SOURCE``; NYU-DICE-Lab's code.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.reduce.budget_schedule import search_masks
from pi_system.reduce.indicators import SoftIndicator, indicator_shape
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.selection import check_reachable, select_best
from pi_system.reduce.training import insert_indicators, remove_indicators, split_epochs, train_student
from pi_system.train.networks import Classifier
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap

__all__ = ["Snl"]

_ALIVE = 1e-2
_PATIENT_EPOCHS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Snl:
    """Selective network linearization: ReLUs become identities while the network learns to do without."""

    REDUCES: ClassVar[str] = "ReLUs, by pixel or channel"
    SOURCE: ClassVar[str] = "Cho, Joshi, Reagen, Garg, Hegde, ICML 2022, arXiv 2202.02340, Algorithm 1"
    DIFFERS: ClassVar[str] = "a channel's alpha weighs as many ReLUs as it has; `schedule=fast` is another algorithm"

    granularity: str = option("pixel", "What one decision is about.", choices=("pixel", "channel"))
    schedule: str = option("fast", "How the budget is reached.", choices=("fast", "lasso"))
    search: float = option(0.5, "Share of the recipe's epochs that fast searches in.", unless=("schedule",))
    lasso_start: float = option(1e-5, "Lambda at first.", needs=("schedule=lasso",))
    lasso_growth: float = option(1.1, "What lambda is multiplied with.", needs=("schedule=lasso",))
    search_epochs: int = option(
        2000, "The most epochs of the search, before the recipe's epochs of finetuning.", needs=("schedule=lasso",)
    )
    search_rate: float = option(1e-3, "Adam's learning rate.", needs=("schedule=lasso",))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one channel is within the budget.
            ConfigError: unknown schedule or granularity.
            Interrupted: stopped; the same task resumes.
        """
        if self.schedule not in ("fast", "lasso"):
            raise ConfigError(f"schedule: expected fast or lasso; found {self.schedule!r}")
        relus = named_relus(task.network)
        shapes = {name: indicator_shape(relu, self.granularity) for name, relu in relus.items()}
        check_reachable({name: relu.mask for name, relu in relus.items()}, shapes, task.budget)
        student = copy.deepcopy(task.network)
        if self.schedule == "fast":
            search, finetune = split_epochs(task, self.search)
            report = search_masks(task, student, search, self.granularity)
        else:
            finetune = task.finetune
            report = self._lasso(task, student)
        fitted = train_student(task, student, finetune, "finetune")
        report |= {"granularity": self.granularity, "layers": ReluMap.of(student).counts}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)

    def _lasso(self, task: ReductionTask, student: Classifier) -> dict[str, object]:
        config = replace(
            task.finetune,
            epochs=self.search_epochs,
            optimizer="adam",
            schedule="constant",
            learning_rate=self.search_rate,
            weight_decay=0.0,
        )
        indicators = insert_indicators(student, SoftIndicator, self.granularity)
        student.lasso = _Lasso(indicators, task.budget, self.lasso_start, self.lasso_growth)
        fitted = train_student(task, student, config, "search", companion=student.lasso, keep="last")
        found = student.lasso.count()
        del student.lasso
        scores = {name: indicator.scores() for name, indicator in indicators.items()}
        remove_indicators(
            student, indicators, select_best(scores, {n: g.allowed for n, g in indicators.items()}, task.budget)
        )
        return {
            "search_epochs": len(fitted.history),
            "search_accuracy": fitted.validation.accuracy,
            "relus_above_threshold": found,
        }


class _Lasso(nn.Module):
    """The companion of the search; its two numbers are saved with the network it is a part of."""

    weight: Tensor
    least: Tensor
    epochs: Tensor

    def __init__(self, indicators: Mapping[str, SoftIndicator], budget: int, start: float, growth: float) -> None:
        super().__init__()
        self._indicators = tuple(indicators.values())
        self._costs = [indicator.allowed.float().sum_to_size(indicator.shape) for indicator in self._indicators]
        self._budget, self._growth = budget, growth
        self.register_buffer("weight", torch.tensor(start, dtype=torch.float64))
        self.register_buffer("least", torch.tensor(self.count()))
        self.register_buffer("epochs", torch.tensor(0))

    def count(self) -> int:
        """ReLUs whose alpha is above the threshold."""
        counts = [
            (cost.to(indicator.alpha.device) * (indicator.alpha[0] > _ALIVE)).sum()
            for indicator, cost in zip(self._indicators, self._costs, strict=True)
        ]
        return int(torch.stack(counts).sum())

    def extra_loss(self) -> Tensor:
        """Lambda times the alphas' absolute values."""
        sums = [
            (cost.to(indicator.alpha.device) * indicator.alpha[0].abs()).sum()
            for indicator, cost in zip(self._indicators, self._costs, strict=True)
        ]
        return self.weight.float() * torch.stack(sums).sum()

    def after_step(self, done: int, steps: int) -> None:
        """Nothing."""

    def after_epoch(self) -> bool:
        """Raise lambda where the count does not fall; end when it is within the budget."""
        count = self.count()
        self.epochs += 1
        if int(self.epochs) >= _PATIENT_EPOCHS and count >= int(self.least):
            self.weight *= self._growth
        self.least.clamp_(max=count)
        return count <= self._budget
