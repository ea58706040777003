"""SENet: every layer gets its own ReLU budget from its sensitivity, then its mask is sought within that budget.

1. Sensitivity of a layer, by ``sensitivity``: ``proxy`` (default) and ``pruning`` are 1 - d / max d, d being the
share of the weights in front of it that are left in a sparse network of ``density``, trained while it was pruned
(``sparse_proxy``) or pruned in one shot by |w dL/dw|; ``loss`` is the rise of the loss when the layer's ReLUs become
identities. 2. Budgets in proportion to sensitivity, at most a layer's ReLUs; what a full layer cannot take goes to the
others. 3. Mask search within each layer, with distillation, by ``mask``: ``mismatch`` (default, see ``mismatch``), or
the ``importance`` of a switch (see ``budget_schedule``). 4. Finetuning with cross-entropy, distillation and activation
matching (``matching``).

SENet++ (``widths``): in the finetuning narrower networks, of the first channels of every layer, learn beside the whole
one (``widths``); each is written as a run of its own.

Source: ``SeNet.SOURCE``; no public code. Verified: the stages, sensitivity being inverse to pruning sensitivity,
distillation from the network with all ReLUs, ordered channels with batch normalisations of their own. From memory, not
verified: the proxy's density 0.1, the mismatch as the search's measure, the three terms of the loss. Our choice: what
the files named say, the measure by loss (1.6 points better than one-shot pruning on 30 classes of CIFAR-100 at 12.5 %
of the ReLUs, one seed), the proportional budgets.
"""

import copy
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from pi_system.errors import ConfigError
from pi_system.reduce.budget_schedule import search_masks
from pi_system.reduce.indicators import indicator_shape
from pi_system.reduce.matching import Matching
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.mismatch import match_masks
from pi_system.reduce.options import option
from pi_system.reduce.selection import check_reachable
from pi_system.reduce.sensitivity import loss_of_layers, pruning_density
from pi_system.reduce.sparse_proxy import trained_density
from pi_system.reduce.training import split_epochs, train_student
from pi_system.reduce.widths import Widths, parse_widths
from pi_system.train.config import TrainConfig
from pi_system.train.loop import FitResult
from pi_system.train.networks import Classifier
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SeNet:
    """Sensitivity-based allocation: every layer gets a budget of its own and seeks its mask within it."""

    REDUCES: ClassVar[str] = "ReLUs, by pixel or channel, with a budget a layer"
    SOURCE: ClassVar[str] = "Kundu, Lu, Zhang, Liu, Beerel, ICLR 2023, arXiv 2301.09254"
    DIFFERS: ClassVar[str] = (
        "the proxy is pruned by magnitude on a cubic schedule; proportional budgets; masks start at random and move "
        "ten times; matching of the last layer of each stage; narrower widths learn from the whole network's logits"
    )

    granularity: str = option("pixel", "What one decision is about.", choices=("pixel", "channel"))
    search: float = option(0.5, "Share of the recipe's epochs that the mask search takes.", within="[0, 1]")
    sensitivity: str = option("proxy", "How a layer's is measured.", choices=("proxy", "pruning", "loss"))
    density: float = option(
        0.1, "Of the pruned network that it is read from.", within="(0, 1]", unless=("sensitivity=loss",)
    )
    proxy_epochs: int = option(
        2, "Epochs that the proxy is trained for.", within="[0, 100000]", needs=("sensitivity=proxy",)
    )
    mask: str = option("mismatch", "What masks are sought by.", choices=("mismatch", "importance"))
    matching: float = option(1.0, "Weight of the activation matching.", within="[0, inf)")
    widths: str = option("", "Widths beside the whole, as 0.5,0.25, that learn with it (SENet++).")

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one channel is within the budget.
            ConfigError: unknown granularity or measure, or widths that are no shares.
            Interrupted: stopped; the same task resumes.
        """
        relus = named_relus(task.network)
        check_reachable(relus, self.granularity, task.budget)
        search, finetune = split_epochs(task, self.search)
        shares = parse_widths(self.widths)
        if shares and task.spec.reuse > 1:
            raise ConfigError(f"widths: expected a network without ReLU reuse; found {task.spec}")
        sensitivity = self._sensitivity(task)
        unit = {name: relu.size // prod(indicator_shape(relu, self.granularity)) for name, relu in relus.items()}
        budgets = share_budget(sensitivity, {n: r.active for n, r in relus.items()}, unit, task.budget)
        student, teacher = copy.deepcopy(task.network), copy.deepcopy(task.network)
        if self.mask == "mismatch":
            report = match_masks(task, student, teacher, search, self.granularity, budgets)
        else:
            report = search_masks(task, student, search, self.granularity, budgets=budgets)
        fitted, narrower = self._finetune(task, student, teacher, finetune, shares)
        report |= {"granularity": self.granularity, "sensitivity": sensitivity, "budgets": budgets}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report, narrower=narrower)

    def _finetune(
        self, task: ReductionTask, student: Classifier, teacher: Classifier, config: TrainConfig, shares: list[float]
    ) -> tuple[FitResult, dict[str, tuple[NetworkSpec, Classifier]]]:
        matching = Matching(student, teacher, self.matching)
        if not shares:
            fitted = train_student(task, student, config, "finetune", companion=matching, teacher=teacher)
            matching.remove()
            return fitted, {}
        widths = Widths(task.spec, student, teacher, shares, config, matching)
        fitted = train_student(task, student, config, "finetune", companion=widths, teacher=teacher)
        matching.remove()
        return fitted, widths.take()

    def _sensitivity(self, task: ReductionTask) -> dict[str, float]:
        if self.sensitivity == "loss":
            return loss_of_layers(task)
        if self.sensitivity == "pruning":
            kept = pruning_density(task, self.density)
        elif self.sensitivity == "proxy":
            kept = trained_density(task, self.density, self.proxy_epochs)
        else:
            raise ConfigError(f"sensitivity: expected proxy, pruning or loss; found {self.sensitivity!r}")
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
