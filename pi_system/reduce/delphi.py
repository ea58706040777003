"""Delphi's planner: some ReLU layers become the polynomial p(x) = 0.1997 x^2 + 0.5002 x + 0.1992, chosen by search.

1. Sensitivity of a layer: the rise of the loss when p takes its place in the trained network. 2. Plans within the
budget: the layers of the largest summed sensitivity are kept (a knapsack), and the same with sensitivities that noise
has changed, several times as many as candidates; those with the least loss of the trained network with all their p in
place are the candidates. 3. Each candidate is trained a little (``trials``) and scored:
validation accuracy (1 + replaced / all), ReLUs or, with objective ``milliseconds``, what they cost by the cost model
more than squares. 4. The best one starts from the trained network again, its ReLUs fade into p (``swap``), and it is
finetuned with distillation.

Source: ``Delphi.SOURCE``, and mc2-project/delphi, python/resnet and python/minionn. Verified in that code: p, the swap,
the clipping, the score and that only swapped networks have one; 10 samples, 30 times 10 epochs, population-based
training on Ray that perturbs learning rate and momentum; on ResNet-32 the first and the last activation stay. Not as
there: plans are random ones of a given number of layers there, here chosen by sensitivity within a budget of ReLUs;
ReLUs there are cut off at 6; the swap takes 100 epochs of the search there, here a trial's first round; the last
training after the search, and distillation in it, are ours, as is successive halving, for machines without a cluster.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from pi_system.cost import activation_ms, default_calibration
from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.knapsack import choose
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.presets import POLYNOMIALS, Preset
from pi_system.reduce.sensitivity import mean_loss
from pi_system.reduce.swap import swap_and_finetune
from pi_system.reduce.trials import Plan, Search, Trial, put_polynomials, with_polynomials
from pi_system.train.mixed import square_count
from pi_system.train.parallel import from_first
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap

_ATTEMPTS = 20  # draws a wanted plan; small networks have few
_DRAWN = 8  # plans a candidate: more cost a look at some pictures each

_OVERFLOWN = 1e6  # worse than any loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Delphi:
    """Delphi's planner: some ReLU layers become a fixed polynomial of degree two."""

    REDUCES: ClassVar[str] = "ReLU layers, to squares"
    SOURCE: ClassVar[str] = (
        "Mishra, Lehmkuhl, Srinivasan, Zheng, Popa, USENIX Security 2020, eprint 2020/050, section 5"
    )
    DIFFERS: ClassVar[str] = (
        "plans by sensitivity within a budget of ReLUs, there random ones of so many layers; ReLU instead of ReLU6; "
        "short trials, by successive halving unless `search=population`; distillation"
    )

    SMALLER: ClassVar[tuple[str, ...]] = ("ends=false", "lets the first and the last ReLU layer go, too")
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "fast": POLYNOMIALS,
        "paper": Preset(  # its learning rates are drawn, and changed by the search
            recipe={"epochs": 300, "batch_size": 128, "learning_rate": 0.01, "schedule": "constant"},
            options={
                "search": "population",
                "candidates": "10",
                "rounds": "30",
                "trial_epochs": "10",
                "swap": "0.333",
            },
        ),
    }

    search: str = option(
        "halving", "How plans are tried; greedy: not at all.", choices=("halving", "population", "greedy")
    )
    candidates: int = option(4, "Plans that are tried.", within="[1, 1000]", unless=("search=greedy",))
    rounds: int = option(2, "Rounds of trials.", within="[1, 1000]", unless=("search=greedy",))
    trial_epochs: int = option(
        1,
        "Epochs of a round (halving: of the first), on top of the recipe's.",
        within="[1, 100000]",
        unless=("search=greedy",),
    )
    swap: float = option(0.5, "Share of the recipe's epochs in which the polynomials fade in.", within="[0, 1]")
    ends: bool = option(True, "Keep the first and the last ReLU layer.")
    objective: str = option("relus", "What the score counts.", choices=("relus", "milliseconds"))
    backend: str = option("gmw", "Whose milliseconds.", needs=("objective=milliseconds",))
    link: str = option("lan", "Over which link.", needs=("objective=milliseconds",))
    ray: bool = option(False, "Let Ray run the trials.", unless=("search=greedy",))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: the layers that stay are over the budget.
            ConfigError: the objective has no such backend, or squares are no faster there.
            DivergedError: the loss of the last training is not finite.
            Interrupted: stopped; the same task resumes.
        """
        relus = {name: relu.active for name, relu in named_relus(task.network).items() if relu.active}
        worth = self._worth(relus)
        fixed = {next(iter(relus)), next(reversed(relus))} if self.ends else set()
        least = sum(relus[name] for name in fixed)
        if task.budget < least:
            raise BudgetError(least, "those of the layers that stay", task.budget)
        sensitivity = polynomial_loss(task)
        plans = candidate_plans(relus, sensitivity, fixed, task.budget, _DRAWN * self.candidates, task.finetune.seed)
        losses = dict(zip(plans, plan_losses(task, plans), strict=True))
        plans = sorted(plans, key=losses.__getitem__)[: self.candidates]
        best = Trial(plans[0], task.finetune.learning_rate, task.finetune.momentum)
        trials: list[dict[str, Any]] = []
        if self.search != "greedy":
            search = Search(
                kind=self.search,
                rounds=self.rounds,
                epochs=self.trial_epochs,
                value=_Score(worth),
                ray=self.ray,
            )
            if len(plans) > 1 or self.search == "population":
                best, trials = search.best(task, plans)
        student = with_polynomials(task.network, best.plan)
        recipe = replace(task.finetune, learning_rate=best.learning_rate, momentum=best.momentum)
        fitted = swap_and_finetune(task, student, recipe, self.swap)
        report = {
            "replaced": sorted(best.plan),
            "squares": square_count(student),
            "score": score(fitted.validation.accuracy, best.plan, worth),
            "objective": self.objective,
            "sensitivity": sensitivity,
            "trials": trials,
            "layers": ReluMap.of(student).counts,
        }
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)

    def _worth(self, relus: Mapping[str, int]) -> dict[str, float]:
        """What replacing each layer gains, in the objective's unit."""
        if self.objective == "relus":
            return {name: float(count) for name, count in relus.items()}
        prices = default_calibration()
        saved = {
            name: max(
                0.0,
                activation_ms("relu", count, self.backend, self.link, prices)
                - activation_ms("square", count, self.backend, self.link, prices),
            )
            for name, count in relus.items()
        }
        if not any(saved.values()):
            raise ConfigError(
                f"objective: expected a backend whose squares are faster; found {self.backend} on {self.link}"
            )
        return saved


@dataclass(frozen=True, slots=True)
class _Score:
    worth: Mapping[str, float]

    def __call__(self, plan: Plan, accuracy: float) -> float:
        return score(accuracy, plan, self.worth)


def score(accuracy: float, plan: Plan, worth: Mapping[str, float]) -> float:
    """Delphi's score: accuracy (1 + replaced / all), both in the unit of ``worth``, by layer."""
    return accuracy * (1 + sum(worth[name] for name in plan) / sum(worth.values()))


def polynomial_loss(task: ReductionTask) -> dict[str, float]:
    """Rise of the loss (see ``plan_losses``) when p takes the place of a layer's ReLUs, by name."""
    layers = [name for name, relu in named_relus(task.network).items() if relu.active]
    whole, *losses = plan_losses(task, [frozenset(), *(frozenset({name}) for name in layers)])
    return {name: max(loss - whole, 0.0) for name, loss in zip(layers, losses, strict=True)}


def plan_losses(task: ReductionTask, plans: Sequence[Plan]) -> list[float]:
    """Mean cross-entropy on some training pictures with p in the place of each plan's ReLUs and nothing trained.

    Batch normalisation takes each batch's statistics, as it would after a moment of training.
    """
    network = copy.deepcopy(task.network).to(task.finetune.torch_device()).train()
    relus, losses = named_relus(network), []
    for plan in plans:
        for name in plan:  # layers are exchanged: a copy of the network for each plan takes longer than its loss
            network.set_submodule(name, copy.deepcopy(relus[name]))
        put_polynomials(network, plan)
        with torch.no_grad():
            loss = mean_loss(network, task)
        losses.append(loss if math.isfinite(loss) else _OVERFLOWN)
        for name in plan:
            network.set_submodule(name, relus[name])
    return from_first(losses)


def candidate_plans(
    relus: Mapping[str, int],
    sensitivity: Mapping[str, float],
    fixed: set[str],
    budget: int,
    count: int,
    seed: int,
) -> list[Plan]:
    """Different plans within the budget, best by sensitivity first; fewer than ``count`` where there are no more.

    Args:
        relus: of each layer.
        sensitivity: of each layer.
        fixed: layers that stay.
        budget: ReLUs that may be left.
        count: plans wanted.
        seed: of the noise, log-normal factors of the sensitivities.
    """
    generator = torch.Generator().manual_seed(seed)
    free = [name for name in relus if name not in fixed]
    left = budget - sum(relus[name] for name in fixed)
    plans: dict[Plan, None] = {}
    for attempt in range(_ATTEMPTS * count):
        noise = torch.randn(len(free), generator=generator).exp() if attempt else torch.ones(len(free))
        gains = [(sensitivity[name] + 1e-9) * factor for name, factor in zip(free, noise.tolist(), strict=True)]
        chosen = choose([[(0, 0), (relus[name], gain)] for name, gain in zip(free, gains, strict=True)], left)
        plans[frozenset(name for name, kept in zip(free, chosen or [], strict=True) if not kept)] = None
        if len(plans) == count:
            break
    return list(plans)
