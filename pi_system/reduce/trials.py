"""Trials of a planner: several plans of one network, each trained a little in rounds, the better ones further.

``halving``: after each round the better half goes on (successive halving), with twice the epochs. ``population``: after
each round the worse quarter takes over plan, weights, learning rate and momentum of one of the better quarter, and
changes the last two: by 0.8 or 1.2, or, one time in four, to new ones (population-based training). The first round of
a trial swaps its polynomials in, so that every score is of the network without the ReLUs it is to lose.

A trial is a job that takes and gives weights, in this process or one of Ray's. Rounds resume from their checkpoints.

Sources: Jamieson and Talwalkar, AISTATS 2016 (successive halving); Jaderberg et al., 2017, arXiv 1711.09846, and Ray's
defaults (population-based training); mc2-project/delphi: the ranges that learning rate and momentum are drawn from.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from pi_system.errors import DivergedError
from pi_system.reduce.method import ReductionTask, ignore_history
from pi_system.reduce.ray_jobs import run_on_ray
from pi_system.reduce.swap import swap_in, train_clipped
from pi_system.train.config import TrainConfig
from pi_system.train.mixed import Kind, load_weights, mix
from pi_system.train.networks import Classifier

_LEARNING_RATES, _MOMENTA = (1e-4, 1.0), (0.5, 1.0)
_QUARTER = 0.25

Plan = frozenset[str]
"""The ReLU layers that become polynomials."""


class Trial(NamedTuple):
    """A plan with what it is trained by, and the score it had last."""

    plan: Plan
    learning_rate: float
    momentum: float
    score: float = 0.0


class _Job(NamedTuple):
    task: ReductionTask
    trial: Trial
    config: TrainConfig
    label: str
    weights: dict[str, Tensor] | None


def with_polynomials(network: Classifier, plan: Plan) -> Classifier:
    """A copy of ``network`` with Delphi's p(x), not trained itself, in the place of the ReLUs of ``plan``."""
    student = copy.deepcopy(network)
    put_polynomials(student, plan)
    return student


def put_polynomials(network: Classifier, plan: Plan) -> None:
    """The same in place."""
    for name in plan:
        layer = mix(network, name)
        kinds = layer.kinds.clone()
        kinds[layer.mask] = int(Kind.QUADRATIC)
        layer.set_kinds(kinds)
        layer.coefficients.requires_grad_(False)


def _run(job: _Job) -> dict[str, Any]:
    """Train a trial one round; its weights, and its accuracy on validation pictures, 0 if it diverges."""
    student = with_polynomials(job.task.network, job.trial.plan)
    try:
        if job.weights is None:
            fitted = swap_in(job.task, student, job.config, job.label)
        else:
            load_weights(student, job.weights)
            fitted = train_clipped(job.task, student, job.config, job.label)
    except DivergedError:
        return {"weights": job.weights, "accuracy": 0.0}
    weights = {name: tensor.detach().cpu().clone() for name, tensor in student.state_dict().items()}
    return {"weights": weights, "accuracy": fitted.validation.accuracy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How plans are tried.

    Attributes:
        kind: ``halving`` or ``population``.
        rounds: at most, for ``halving``.
        epochs: of a round; of halving's first.
        value: the score of (plan, accuracy).
        ray: let Ray run the trials of a round.
    """

    kind: str
    rounds: int
    epochs: int
    value: Callable[[Plan, float], float]
    ray: bool = False

    def best(self, task: ReductionTask, plans: Sequence[Plan]) -> tuple[Trial, list[dict[str, Any]]]:
        """The best trial, and a line for each trial of each round, ready for JSON.

        Raises:
            ConfigError: Ray is asked for and not installed.
            Interrupted: stopped; the same call resumes.
        """
        rng = random.Random(task.finetune.seed)
        trials = self._start(task, plans, rng)
        weights: list[dict[str, Tensor] | None] = [None] * len(trials)
        lines: list[dict[str, Any]] = []
        for number in range(self.rounds):
            jobs = [self._job(task, trial, number, index, weights[index]) for index, trial in enumerate(trials)]
            for index, found in enumerate(self._all(jobs)):
                trial = trials[index]
                trials[index] = trial._replace(score=self.value(trial.plan, found["accuracy"]))
                weights[index] = found["weights"]
                lines.append(_line(number, trials[index], found["accuracy"]))
            if number + 1 < self.rounds and len(trials) > 1:
                trials, weights = self._after(trials, weights, rng)
        return max(trials, key=lambda trial: trial.score), lines

    def _start(self, task: ReductionTask, plans: Sequence[Plan], rng: random.Random) -> list[Trial]:
        recipe = task.finetune
        trials = [Trial(plan, recipe.learning_rate, recipe.momentum) for plan in plans]
        if self.kind == "population":  # the first as the recipe has it, the others around it
            trials[1:] = [_explored(trial, rng) for trial in trials[1:]]
        return trials

    def _job(
        self, task: ReductionTask, trial: Trial, number: int, index: int, weights: dict[str, Tensor] | None
    ) -> _Job:
        epochs = self.epochs * (2**number if self.kind == "halving" else 1)
        config = replace(
            task.finetune,
            epochs=epochs,
            learning_rate=trial.learning_rate,
            momentum=trial.momentum,
            schedule="constant",
        )
        here = replace(task, on_epoch=ignore_history, progress=False) if self.ray else task
        return _Job(here, trial, config, f"trial-{number}-{index}", weights)

    def _all(self, jobs: Sequence[_Job]) -> Sequence[dict[str, Any]]:
        return list(run_on_ray(_run, jobs, len(jobs), 1)) if self.ray else [_run(job) for job in jobs]

    def _after(
        self, trials: list[Trial], weights: list[dict[str, Tensor] | None], rng: random.Random
    ) -> tuple[list[Trial], list[dict[str, Tensor] | None]]:
        """What goes into the next round."""
        order = sorted(range(len(trials)), key=lambda index: -trials[index].score)
        if self.kind == "halving":
            order = order[: -(-len(order) // 2)]
            return [trials[index] for index in order], [weights[index] for index in order]
        moved = min(max(1, round(_QUARTER * len(order))), len(order) // 2)
        for index in order[len(order) - moved :]:
            better = rng.choice(order[:moved])
            trials[index], weights[index] = _explored(trials[better], rng), weights[better]
        return trials, weights


def _explored(trial: Trial, rng: random.Random) -> Trial:
    """The trial with another learning rate and momentum."""
    if rng.random() < _QUARTER:
        rate, momentum = rng.uniform(*_LEARNING_RATES), rng.uniform(*_MOMENTA)
    else:
        rate, momentum = trial.learning_rate * rng.choice((0.8, 1.2)), trial.momentum * rng.choice((0.8, 1.2))
    return trial._replace(learning_rate=rate, momentum=min(momentum, 0.99))


def _line(number: int, trial: Trial, accuracy: float) -> dict[str, Any]:
    return {
        "round": number,
        "replaced": sorted(trial.plan),
        "learning_rate": trial.learning_rate,
        "momentum": trial.momentum,
        "validation_accuracy": accuracy,
        "score": trial.score,
    }
