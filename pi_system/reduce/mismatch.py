"""SENet's mask search: within each layer, ReLUs go where the partial network differs most from the whole one.

The masks hold the final budgets from the start, at positions drawn at random. While the partial network trains, with
distillation, the moving average of |a_partial - a_whole| is kept for every position (summed over a channel's positions
where channels are sought), a being the outputs of a ReLU layer for the same picture. Ten times in a search each layer's
ReLUs move to the positions where it is highest.

Source: ``SeNet.SOURCE``, from memory: not verified are the random start, the moving average and the ten updates.
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from pi_system.reduce.indicators import HardIndicator
from pi_system.reduce.method import ReductionTask
from pi_system.reduce.selection import select_in_layers
from pi_system.reduce.training import insert_indicators, remove_indicators, train_student
from pi_system.train.config import TrainConfig
from pi_system.train.loop import Companion
from pi_system.train.networks import Classifier
from pi_system.train.parallel import average_

_UPDATES = 10
_DECAY = 0.95


def match_masks(
    task: ReductionTask,
    student: Classifier,
    teacher: nn.Module,
    config: TrainConfig,
    granularity: str,
    budgets: Mapping[str, int],
) -> dict[str, object]:
    """Train ``student`` while its ReLUs move; it ends with the masks found.

    Args:
        task: gives data and checkpoint.
        student: the network, changed in place.
        teacher: the whole network.
        config: recipe of the search.
        granularity: see ``indicators``.
        budgets: ReLUs of each layer.

    Returns:
        What to report.

    Raises:
        Interrupted: stopped; the same call resumes.
    """
    generator = torch.Generator().manual_seed(config.seed)
    # Gradients leave this measure alone: what is drawn makes the first masks, then it holds the mismatch.
    indicators = insert_indicators(student, HardIndicator, granularity, "random", generator)
    search = _Search(indicators, teacher, budgets)
    search.update()
    for indicator in indicators.values():
        indicator.measure.importance.zero_()
    fitted = train_student(task, student, config, "search", companion=search, keep="last", teacher=teacher)
    search.remove()
    remove_indicators(student, indicators, {name: indicator.kept.cpu() for name, indicator in indicators.items()})
    return {"search_epochs": len(fitted.history), "search_accuracy": fitted.validation.accuracy}


class _Search(Companion):
    """The companion of the search: sees both networks' activations. Its state is in the indicators."""

    def __init__(self, indicators: Mapping[str, HardIndicator], teacher: nn.Module, budgets: Mapping[str, int]) -> None:
        self._indicators, self._budgets = indicators, budgets
        self._whole: dict[str, Tensor] = {}
        self._partial: dict[str, Tensor] = {}
        self._hooks = [
            module.register_forward_hook(partial(self._keep, side, name))
            for name, indicator in indicators.items()
            for module, side in ((indicator, self._partial), (teacher.get_submodule(name), self._whole))
        ]

    @staticmethod
    def _keep(side: dict[str, Tensor], name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        side[name] = output.detach()

    def extra_loss(self) -> Tensor | None:
        """Take in this step's activations; nothing is added to the loss."""
        for name, indicator in self._indicators.items():
            gap = (self._partial[name].float() - self._whole[name].float()).abs().mean(0, keepdim=True)
            found = indicator.measure.entries(gap)
            indicator.measure.importance.lerp_(found, 1 - _DECAY)
        return None

    def after_step(self, done: int, steps: int) -> None:
        """Move the ReLUs, but with the last step."""
        average_(indicator.measure.importance for indicator in self._indicators.values())
        if done < steps and done % max(1, steps // _UPDATES) == 0:
            self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Take the positions of the largest mismatch as the masks."""
        scores = {name: indicator.scores() for name, indicator in self._indicators.items()}
        allowed = {name: indicator.allowed for name, indicator in self._indicators.items()}
        for name, mask in select_in_layers(scores, allowed, self._budgets).items():
            self._indicators[name].set_mask(mask)

    def remove(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()
