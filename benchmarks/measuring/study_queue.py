"""The runs of a plan in an order in which every finished part is a result.

Blocks one after the other; within a block its trials, then all of a seed before the next seed: the networks with all
their ReLUs, then curve by curve. A run is known by its folder:

    trial/NETWORK, trial/LABEL-0 ...     trials of tuned curves, on a network of their own
    seed0/NETWORK                        with all ReLUs
    seed0/LABEL@BUDGET                   reduced
    seed0/whole-RECIPE-NETWORK           with all ReLUs, trained on like a reduction: of every curve that comes to it
    seed0/LABEL                          a measure
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

from measuring.study_plan import Block, Curve, Plan, Trial

from pi_system.reduce.training import relus_of
from pi_system.train.spec import NetworkSpec

Choices = Mapping[str, Trial]
"""What the trials chose, by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run and everything that says which it is, ready for JSON.

    Attributes:
        key: its folder.
        block: the block that it was first needed in.
        kind: ``train``, ``reduce`` or a measure.
        network: that is trained, reduced or measured.
        source: key of that network's run with all ReLUs; "" for this run itself.
        method: of the reduction, with ``options`` and ``budget``.
        recipe: as recorded, its seed included.
        data: which, and their split.
        judged_on: ``tuning`` for trials.
        label: of the curve that a trial is of, "" otherwise.
    """

    key: str
    block: str
    kind: Literal["train", "reduce", "criticality", "sensitivity"]
    network: str
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    source: str = ""
    method: str = ""
    options: Mapping[str, str]
    budget: int | None = None
    judged_on: Literal["test", "tuning"] = "test"
    label: str = ""

    @property
    def seed(self) -> int:
        """Of weights and order."""
        return int(self.recipe["seed"])

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a finished run to count."""
        return {name: value for name, value in asdict(self).items() if name != "block"}


def queue(plan: Plan, chosen: Choices | None = None) -> list[Run]:
    """Every run once, in order."""
    runs: dict[str, Run] = {}
    for block in plan.blocks:
        for run in (*_trials(plan, block), *_seeds(plan, block, chosen or {})):
            runs.setdefault(run.key, run)
    return list(runs.values())


def cells(plan: Plan, curve: Curve) -> Iterator[tuple[int, int, str]]:
    """(seed, budget, key of the run) of a curve of a method."""
    for seed in curve.seeds or plan.block(curve.block).seeds:
        for budget in curve.budgets:
            yield seed, budget, reduction(plan, curve, seed, budget).key


def _seeds(plan: Plan, block: Block, chosen: Choices) -> Iterator[Run]:
    curves = [curve for curve in plan.curves if curve.block == block.name]
    own = {curve.label: curve.seeds or block.seeds for curve in curves}
    for seed in dict.fromkeys(seed for seeds in own.values() for seed in seeds):
        here = [curve for curve in curves if seed in own[curve.label]]
        for network in dict.fromkeys(curve.network for curve in here):
            yield baseline(plan, block.name, network, seed)
        for curve in here:
            if curve.measure:
                yield _measure(plan, curve, seed)
            for budget in curve.budgets:
                yield reduction(plan, curve, seed, budget, chosen.get(curve.label, Trial()))


def baseline(plan: Plan, block: str, network: str, seed: int) -> Run:
    """A network with all its ReLUs."""
    recipe = plan.recipe(plan.baseline, seed=seed).recorded()
    key = f"seed{seed}/{_file(network)}"
    return Run(key=key, block=block, kind="train", network=network, recipe=recipe, data=plan.data, options={})


def reduction(plan: Plan, curve: Curve, seed: int, budget: int, trial: Trial | None = None) -> Run:
    """A curve at a budget, with what a trial changes."""
    trial = trial or Trial()
    whole = curve.method == "whole" or budget >= relus(curve.network)
    key = f"whole-{curve.recipe}-{_file(curve.network)}" if whole else f"{curve.label}@{budget}"
    return Run(
        key=f"seed{seed}/{key}",
        block=curve.block,
        kind="reduce",
        network=curve.network,
        source=baseline(plan, curve.block, curve.network, seed).key,
        recipe=plan.recipe(curve.recipe, **({} if whole else trial.recipe), seed=seed).recorded(),
        data=plan.data,
        method="whole" if whole else curve.method,
        options={} if whole else {**curve.options, **trial.options},
        budget=relus(curve.network) - 1 if whole else budget,
    )


def _measure(plan: Plan, curve: Curve, seed: int) -> Run:
    return Run(
        key=f"seed{seed}/{curve.label}",
        block=curve.block,
        kind=curve.measure or "sensitivity",
        network=curve.network,
        source=baseline(plan, curve.block, curve.network, seed).key,
        recipe=plan.recipe(curve.recipe, seed=seed).recorded(),
        data=plan.data,
        options={},
    )


def _trials(plan: Plan, block: Block) -> Iterator[Run]:
    """Of every tuned curve as many, at one budget, on a network trained for them."""
    tuning = plan.tuning
    if tuning is None or tuning.block != block.name:
        return
    for curve in (curve for curve in plan.curves if curve.trials):
        first = baseline(plan, block.name, curve.network, tuning.seed)
        first = replace(first, key=f"trial/{_file(curve.network)}", judged_on="tuning")
        yield first
        for number, trial in enumerate(curve.trials):
            run = reduction(plan, curve, tuning.seed, tuning.budget, trial)
            about: dict[str, Any] = {"key": f"trial/{curve.label}-{number}", "source": first.key, "label": curve.label}
            yield replace(run, block=block.name, judged_on="tuning", **about)


def choices(plan: Plan, accuracies: Mapping[str, float | None]) -> dict[str, Trial]:
    """What is best by the tuning pictures, for every curve all of whose trials are done.

    Args:
        plan: the trials.
        accuracies: by key of every finished trial, None for a budget that was out of reach.
    """
    found = {}
    for curve in plan.curves:
        keys = [f"trial/{curve.label}-{number}" for number in range(len(curve.trials))]
        if keys and all(key in accuracies for key in keys):
            scores = [-1.0 if (score := accuracies[key]) is None else score for key in keys]
            found[curve.label] = curve.trials[scores.index(max(scores))]
    return found


@cache
def relus(network: str) -> int:
    """ReLUs of a network by name."""
    return relus_of(NetworkSpec.parse(network))


def _file(network: str) -> str:
    return network.replace(":", "-").replace(",", "-").replace("=", "")
