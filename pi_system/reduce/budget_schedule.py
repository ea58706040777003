"""Mask search in the discrete domain: the budget falls step by step, and the least important ReLUs go.

From N ReLUs at the start the count at share s of the search is B + (N - B) (1 - s / 0.9)^3, and B from there on.
Every few steps the entries with the highest importance (see ``importance``) are the mask, so one that was dropped too
early comes back. The network is trained all the while at the recipe's highest learning rate, with distillation.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from pi_system.reduce.importance import layer_weights
from pi_system.reduce.indicators import HardIndicator
from pi_system.reduce.method import ReductionTask
from pi_system.reduce.selection import select_best, select_in_layers
from pi_system.reduce.training import insert_indicators, remove_indicators, train_student
from pi_system.train.config import TrainConfig
from pi_system.train.loop import Companion
from pi_system.train.networks import Classifier
from pi_system.train.parallel import average_

_SETTLED = 0.9
_POWER = 3
_INTERVAL = 10
_UPDATES = 50  # at least so many, in a search so short that the interval would give less


def search_masks(
    task: ReductionTask,
    student: Classifier,
    config: TrainConfig,
    granularity: str,
    *,
    importance: str = "fisher",
    budgets: Mapping[str, int] | None = None,
) -> dict[str, object]:
    """Train ``student`` while its ReLUs fall to the budget; it ends with the masks found.

    Args:
        task: with the overall budget.
        student: the network, changed in place.
        config: recipe of the search; its learning rate is held constant.
        granularity: see ``indicators``.
        importance: see ``importance``; what is drawn is seeded by the recipe's seed.
        budgets: a budget for each layer; None lets the layers compete for the task's.

    Returns:
        What to report.

    Raises:
        Interrupted: stopped; the same call resumes.
    """
    generator = torch.Generator().manual_seed(config.seed)
    indicators = insert_indicators(student, HardIndicator, granularity, importance, generator)
    start = {name: int(indicator.allowed.sum()) for name, indicator in indicators.items()}

    def select(left: float) -> dict[str, Tensor]:
        weights = layer_weights({name: indicator.measure for name, indicator in indicators.items()})
        scores = {name: indicator.scores() * weights[name] for name, indicator in indicators.items()}
        allowed = {name: indicator.allowed for name, indicator in indicators.items()}
        if budgets is not None:
            return select_in_layers(scores, allowed, {n: _between(b, start[n], left) for n, b in budgets.items()})
        return select_best(scores, allowed, _between(task.budget, sum(start.values()), left))

    shrinking = _Shrinking(indicators, select)
    config = replace(config, schedule="constant", warmup=0.0)
    fitted = train_student(task, student, config, "search", companion=shrinking, keep="last")
    if not config.epochs:  # nothing was trained: all entries are worth the same
        shrinking.update(0.0)
    masks = {name: indicator.kept.cpu() for name, indicator in indicators.items()}
    remove_indicators(student, indicators, masks)
    return {"search_epochs": len(fitted.history), "search_accuracy": fitted.validation.accuracy}


def _between(budget: int, start: int, left: float) -> int:
    return budget + int((start - budget) * left)


class _Shrinking(Companion):
    """The companion of the search. Its state is in the indicators; when it acts follows from the share done."""

    def __init__(self, indicators: Mapping[str, HardIndicator], select: Callable[[float], dict[str, Tensor]]) -> None:
        self._indicators, self._select = indicators, select

    def after_step(self, done: int, steps: int) -> None:
        """Every few steps, and with the last one, let the mask follow the schedule."""
        average_(state for indicator in self._indicators.values() for state in indicator.measure.state())
        if done == steps or done % max(1, min(_INTERVAL, steps // _UPDATES)) == 0:
            self.update(max(0.0, 1 - done / (_SETTLED * steps)) ** _POWER)

    def update(self, left: float) -> None:
        """Take the best entries as the mask when this share of the surplus ReLUs is left."""
        with torch.no_grad():
            masks = self._select(left)
        for name, indicator in self._indicators.items():
            indicator.set_mask(masks[name])
