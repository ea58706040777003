"""SNL: single ReLUs, or channels of them, are turned into identities while the network learns to do without.

Algorithm 1: y = alpha ReLU(x) + (1 - alpha) x with a trained alpha a position; the loss is cross-entropy +
distillation + lambda |alpha|_1, with Adam. lambda grows by a factor after each epoch, from the sixth on, in which the
number of alphas above 0.01 did not reach a new minimum. Once that number is within the budget, alphas become 0 or
1, stay so, and the network is finetuned with distillation by the recipe.

The preset ``paper`` is the authors' schedule after pretraining by plain training's preset of that name: lambda from
1e-5 by 1.1, Adam at 1e-3, up to 2,000 epochs, then 100 epochs at 1e-3.

Source: ``Snl.SOURCE``; NYU-DICE-Lab/selective_network_linearization, read. Differs there: budget and best epoch are
watched on test pictures. Our choice: where the last epoch overshot, or ``search_epochs`` were not enough, the budget's
worth of largest alphas is kept, so the count is exact; a channel's alpha weighs as many ReLUs as it has.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pi_system.reduce.indicators import SoftIndicator
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.presets import FAST, Preset
from pi_system.reduce.selection import check_reachable, select_best
from pi_system.reduce.training import insert_indicators, remove_indicators, train_student
from pi_system.train.loop import Companion
from pi_system.train.networks import Classifier
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap

_ALIVE = 1e-2
_PATIENT_EPOCHS = 5  # as many without a change: `epoch >= 5` with epochs from 0, in the authors' code


@dataclass(frozen=True, slots=True, kw_only=True)
class Snl:
    """Selective network linearization: ReLUs become identities while the network learns to do without."""

    REDUCES: ClassVar[str] = "ReLUs, by pixel or channel"
    SOURCE: ClassVar[str] = "Cho, Joshi, Reagen, Garg, Hegde, ICML 2022, arXiv 2202.02340, Algorithm 1"
    DIFFERS: ClassVar[str] = (
        "the best epoch is chosen on validation pictures; an overshot budget is filled with the largest alphas; "
        "a channel's alpha weighs as many ReLUs as it has"
    )

    PRESETS: ClassVar[dict[str, Preset]] = {
        # A twentieth of the epochs: a stronger lasso that grows faster. Chosen without tuning.
        "fast": Preset(
            recipe=FAST.recipe, options={"search_epochs": "30", "lasso_start": "5e-05", "lasso_growth": "1.3"}
        ),
        "paper": Preset(recipe={"epochs": 100, "batch_size": 128, "learning_rate": 1e-3, "nesterov": False}),
    }

    granularity: str = option("pixel", "What one decision is about.", choices=("pixel", "channel"))
    lasso_start: float = option(1e-5, "Lambda at first.", within="(0, inf)")
    lasso_growth: float = option(1.1, "What lambda is multiplied with.", within="[1, inf)")
    search_epochs: int = option(
        2000, "The most epochs of the search, before the recipe's epochs of finetuning.", within="[0, 100000]"
    )
    search_rate: float = option(1e-3, "Adam's learning rate in the search.", within="(0, inf)")

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one channel is within the budget.
            ConfigError: unknown granularity.
            Interrupted: stopped; the same task resumes.
        """
        check_reachable(named_relus(task.network), self.granularity, task.budget)
        student = copy.deepcopy(task.network)
        report = self._search(task, student)
        fitted = train_student(task, student, task.finetune, "finetune")
        report |= {"granularity": self.granularity, "layers": ReluMap.of(student).counts}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)

    def _search(self, task: ReductionTask, student: Classifier) -> dict[str, object]:
        config = replace(
            task.finetune,
            epochs=self.search_epochs,
            optimizer="adam",
            schedule="constant",
            warmup=0.0,
            ema=0.0,
            learning_rate=self.search_rate,
            weight_decay=0.0,
        )
        indicators = insert_indicators(student, SoftIndicator, self.granularity)
        student.lasso = _Lasso(indicators, task.budget, self.lasso_start, self.lasso_growth)
        fitted = train_student(task, student, config, "search", companion=student.lasso, keep="last")
        found, weight = student.lasso.count(), float(student.lasso.weight)
        del student.lasso
        scores = {name: indicator.scores() for name, indicator in indicators.items()}
        remove_indicators(
            student, indicators, select_best(scores, {n: g.allowed for n, g in indicators.items()}, task.budget)
        )
        return {
            "search_epochs": len(fitted.history),
            "lambda": weight,
            "search_accuracy": fitted.validation.accuracy,
            "relus_above_threshold": found,
        }


class _Lasso(nn.Module, Companion):
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
        return int(self._sum(lambda alpha: alpha > _ALIVE))

    def extra_loss(self) -> Tensor:
        """Lambda times the alphas' absolute values."""
        return self.weight.float() * self._sum(torch.abs)

    def _sum(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Over all ReLUs, of what is ``of`` their alphas."""
        pairs = ((one.alpha[0], cost) for one, cost in zip(self._indicators, self._costs, strict=True))
        return torch.stack([(cost.to(alpha.device) * of(alpha)).sum() for alpha, cost in pairs]).sum()

    def after_epoch(self) -> bool:
        """Raise lambda where the count does not fall; end when it is within the budget."""
        count = self.count()
        self.epochs += 1
        if int(self.epochs) > _PATIENT_EPOCHS and count >= int(self.least):
            self.weight *= self._growth
        self.least.clamp_(max=count)
        return count <= self._budget

    def figures(self) -> Mapping[str, float]:
        """ReLUs above the threshold, and lambda of the epoch to come."""
        return {"relus": self.count(), "lambda": float(self.weight)}
