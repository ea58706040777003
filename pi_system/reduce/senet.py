"""SENet: every layer gets its own ReLU budget from its sensitivity, then its mask is sought within that budget.

1. Sensitivity of a layer, by ``sensitivity``: ``pruning`` is 1 - d / max d, where d is the share of the weights in
front of it that a global pruning to ``density`` keeps; ``loss``, the default, is the rise of the loss when the layer's
ReLUs become identities (1.6 points better on 30 classes of CIFAR-100 at 12.5 % of the ReLUs, one seed). 2. Budgets in
proportion to sensitivity, at most a layer's ReLUs; what a full layer cannot take goes to the others. 3. Mask search
within each layer (see ``budget_schedule``), with distillation. 4. Finetuning with distillation and activation
matching: ``matching`` / 2 times the squared distance between the two networks' activations, each scaled to length
one, summed over layers and averaged over pictures.

Source: ``SeNet.SOURCE``; no public code. Verified: the three stages,
sensitivity being inverse to pruning sensitivity, distillation from the network with all ReLUs. Not verified, our
choice: pruning by |w dL/dw| in one shot (the paper prunes while it trains), the measure by loss, the proportional
budgets, the form and weight of the matching, and matching only the last ReLU layer of each stage, for speed.
"""

import copy
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.reduce.budget_schedule import search_masks
from pi_system.reduce.indicators import indicator_shape
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.selection import check_reachable
from pi_system.reduce.sensitivity import loss_of_layers, pruning_density
from pi_system.reduce.training import split_epochs, train_student
from pi_system.train.relu import named_relus

__all__ = ["SeNet", "share_budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeNet:
    """Sensitivity-based allocation: every layer gets a budget of its own and seeks its mask within it."""

    REDUCES: ClassVar[str] = "ReLUs, by pixel or channel, with a budget a layer"
    SOURCE: ClassVar[str] = "Kundu, Lu, Zhang, Liu, Beerel, ICLR 2023, arXiv 2301.09254"
    DIFFERS: ClassVar[str] = (
        "sensitivity by loss or one-shot pruning; proportional budgets; matching of the last layer of each stage"
    )

    granularity: str = option("pixel", "What one decision is about.", choices=("pixel", "channel"))
    search: float = option(0.5, "Share of the recipe's epochs that the mask search takes.")
    sensitivity: str = option("loss", "How a layer's sensitivity is measured.", choices=("loss", "pruning"))
    density: float = option(0.1, "Of the pruning that sensitivity is read from.", needs=("sensitivity=pruning",))
    matching: float = option(1.0, "Weight of the activation matching.")

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one channel is within the budget.
            ConfigError: unknown granularity or measure.
            Interrupted: stopped; the same task resumes.
        """
        relus = named_relus(task.network)
        shapes = {name: indicator_shape(relu, self.granularity) for name, relu in relus.items()}
        check_reachable({name: relu.mask for name, relu in relus.items()}, shapes, task.budget)
        search, finetune = split_epochs(task, self.search)
        sensitivity = self._sensitivity(task)
        unit = {name: relu.size // prod(shapes[name]) for name, relu in relus.items()}
        budgets = share_budget(sensitivity, {n: r.active for n, r in relus.items()}, unit, task.budget)
        student, teacher = copy.deepcopy(task.network), copy.deepcopy(task.network)
        report = search_masks(task, student, search, self.granularity, budgets=budgets)
        matching = _Matching(student, teacher, self.matching)
        fitted = train_student(task, student, finetune, "finetune", companion=matching, teacher=teacher)
        matching.remove()
        report |= {"granularity": self.granularity, "sensitivity": sensitivity, "budgets": budgets}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)

    def _sensitivity(self, task: ReductionTask) -> dict[str, float]:
        if self.sensitivity == "loss":
            return loss_of_layers(task)
        if self.sensitivity != "pruning":
            raise ConfigError(f"sensitivity: expected pruning or loss; found {self.sensitivity!r}")
        kept = pruning_density(task, self.density)
        return {name: 1 - share / max(kept.values()) for name, share in kept.items()}


def share_budget(
    sensitivity: dict[str, float], active: dict[str, int], unit: dict[str, int], budget: int
) -> dict[str, int]:
    """Split a budget over layers in proportion to their sensitivity.

    Args:
        sensitivity: of each layer, at least 0.
        active: ReLUs of each layer, its most.
        unit: ReLUs a layer can lose or keep at once.
        budget: in all; the parts sum to it, less what no layer's unit fits.
    """
    weight = {name: max(value, 1e-6) * (active[name] > 0) for name, value in sensitivity.items()}
    exact = dict.fromkeys(active, 0.0)
    left, open_layers = float(min(budget, sum(active.values()))), {name for name in active if active[name]}
    while open_layers and left > 1e-6:
        total = sum(weight[name] for name in open_layers)
        full = {name for name in open_layers if exact[name] + left * weight[name] / total >= active[name]}
        for name in full or open_layers:
            exact[name] = active[name] if full else exact[name] + left * weight[name] / total
        left = min(budget, sum(active.values())) - sum(exact.values())
        open_layers = open_layers - full if full else set()
    shares = {name: int(exact[name] + 1e-6) // unit[name] * unit[name] for name in active}
    # What rounding to units left over goes to whole units, most wanted first.
    for name in sorted(active, key=lambda layer: shares[layer] - exact[layer]):
        spare = min(budget - sum(shares.values()), active[name] - shares[name])
        shares[name] += spare // unit[name] * unit[name]
    return shares


class _Matching:
    """The companion of the finetuning: remembers the last ReLU layers' outputs of both networks of a step."""

    def __init__(self, student: nn.Module, teacher: nn.Module, weight: float) -> None:
        self._weight = weight
        self._seen: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}}
        relus = named_relus(student)
        last = {relu.stage: name for name, relu in relus.items()}.values()
        self._hooks = [
            network.get_submodule(name).register_forward_hook(partial(self._keep, side, name))
            for side, network in (("student", student), ("teacher", teacher))
            for name in last
        ]

    def _keep(self, side: str, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._seen[side][name] = output

    def remove(self) -> None:
        """Take the hooks off and forget the activations."""
        for hook in self._hooks:
            hook.remove()
        self._seen.clear()

    def extra_loss(self) -> Tensor:
        """Half the weighted squared distance of the activations, a scalar."""
        gaps = [
            (_unit_length(found) - _unit_length(self._seen["teacher"][name])).square().sum(1).mean()
            for name, found in self._seen["student"].items()
        ]
        return 0.5 * self._weight * torch.stack(gaps).sum()

    def after_step(self, done: int, steps: int) -> None:
        """Nothing."""

    def after_epoch(self) -> bool:
        """Never end early."""
        return False


def _unit_length(activation: Tensor) -> Tensor:
    """(N, C, H, W) to float32 (N, C H W), each row of length one."""
    return nn.functional.normalize(activation.flatten(1).float(), dim=1)
