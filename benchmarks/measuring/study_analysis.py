"""What a study decides: contrasts paired within seeds, Student's t with true degrees of freedom, Holm's correction.

The reductions of a seed all start from one trained network, so two curves are compared seed by seed, and the spread of
these differences is what their mean is held against. Two kinds of contrast:

- *difference*: better - worse, a seed's mean over the budgets that the claim speaks of;
- *tendency*: by how much better - worse changes when the budget is halved: a seed's least-squares slope over -log2 of
  all common budgets. What a paper says of "high" against "low" counts is an interaction, not a difference at either.

``supported``: the 95 % interval lies on the side that is claimed; ``contradicted``: on the other; else ``undecided``.
Over the primary claims of a plan these words keep the rate of a single error below 5 % in all (Holm, A Simple
Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979); what was not announced before
the runs is exploratory, not corrected, and says so.

A third kind, *measure*, is of one number a seed that the study measured, such as a rank correlation, claimed to be
above 0.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from measuring.study_runs import Study
from pydantic import BaseModel, ConfigDict
from scipy import stats

from pi_system.errors import ConfigError

LEVEL: Final = 0.95
Kind = Literal["difference", "tendency", "measure"]
Word = Literal["supported", "contradicted", "undecided"]


class Claim(BaseModel):
    """What a source says, as a contrast of two curves.

    Attributes:
        text: the claim.
        source: who says it.
        better: label of the curve that gains, or of the measure.
        worse: label of the other one.
        kind: ``difference``, ``tendency`` where the gain is claimed to grow as the budget shrinks, or ``measure``.
        budgets: shares of the first network's ReLUs that are meant; none for all that both have.
        primary: announced before the runs.
        note: what the reader must know beside the verdict.
        id: what docs/reference/claims.md finds it by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    source: str
    better: str
    worse: str = ""
    kind: Kind = "difference"
    budgets: tuple[float, ...] = ()
    primary: bool = False
    note: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Mean over seeds of a contrast, with Student's 95 % interval; one seed has none.

    Attributes:
        by_seed: the contrast of each seed, from 0 to 1, of a tendency a halving.
        value: their mean.
        low: of the interval, minus infinity with one seed.
        high: of the interval.
        p: of a mean this far from 0 by chance, both sides; 1 with one seed.
    """

    by_seed: Mapping[int, float]
    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A claim, what was found, at every budget, too, and what follows; ``p`` is corrected for a primary claim."""

    claim: Claim
    effect: Effect
    at: Mapping[float, Effect]
    p: float

    @property
    def word(self) -> Word:
        """See the module."""
        if self.p > 1 - LEVEL:
            return "undecided"
        return "supported" if self.effect.value > 0 else "contradicted"


def effect(by_seed: Mapping[int, float]) -> Effect:
    """Of one number a seed. Raises ConfigError: none."""
    if not by_seed:
        raise ConfigError("contrast: expected a seed that both curves have, found none")
    values = list(by_seed.values())
    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return Effect(by_seed=by_seed, value=mean, low=-math.inf, high=math.inf, p=1.0)
    error = statistics.stdev(values) / math.sqrt(count)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1)) if error else float(mean == 0)
    return Effect(by_seed=by_seed, value=mean, low=mean - half, high=mean + half, p=p)


def at_budgets(study: Study, better: str, worse: str) -> dict[float, dict[int, float]]:
    """Better - worse of every seed that has both, at every common budget, largest first."""
    found = {}
    for fraction in study.fractions:
        first, second = study.cell(better, fraction), study.cell(worse, fraction)
        if first and second:
            seeds = [seed for seed in first.by_seed if seed in second.by_seed]
            found[fraction] = {seed: first.by_seed[seed] - second.by_seed[seed] for seed in seeds}
    return {fraction: by_seed for fraction, by_seed in found.items() if by_seed}


def difference(found: Mapping[float, Mapping[int, float]]) -> Effect:
    """Mean over budgets, of seeds that have all of them."""
    return effect({seed: statistics.fmean(values) for seed, values in _whole(found).items()})


def tendency(found: Mapping[float, Mapping[int, float]]) -> Effect:
    """Change a halving of the budget, of seeds that have all budgets. Raises ConfigError: fewer than two budgets."""
    if len(found) < 2:
        raise ConfigError(f"tendency: expected two budgets or more, found {len(found)}")
    halvings = -np.log2(np.array(list(found)))
    centred = halvings - halvings.mean()
    weights = centred / (centred**2).sum()
    return effect({seed: float(weights @ np.array(values)) for seed, values in _whole(found).items()})


def _whole(found: Mapping[float, Mapping[int, float]]) -> dict[int, list[float]]:
    rows = list(found.values())
    seeds = [seed for seed in rows[0] if all(seed in row for row in rows)] if rows else []
    return {seed: [row[seed] for row in rows] for seed in seeds}


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: below 5 %, the hypothesis is rejected with 5 % for the whole family."""
    order = sorted(range(len(p)), key=lambda index: p[index])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


def judge(study: Study, claims: Iterable[Claim]) -> list[Verdict | Claim]:
    """The verdict on every claim, in order; the claim itself where the study lacks a curve or a seed of both.

    Primary claims are corrected for as many as there are, decided yet or not.
    """
    effects = [(claim, _effects(study, claim)) for claim in claims]
    corrected = iter(holm([found[0].p if found else 1.0 for claim, found in effects if claim.primary]))
    judged: list[Verdict | Claim] = []
    for claim, found in effects:
        p = next(corrected) if claim.primary else found[0].p if found else 1.0
        judged.append(Verdict(claim=claim, effect=found[0], at=found[1], p=p) if found else claim)
    return judged


def _effects(study: Study, claim: Claim) -> tuple[Effect, dict[float, Effect]] | None:
    if claim.kind == "measure":
        measured = study.measures.get(claim.better)
        return (effect(measured), {}) if measured else None
    found = at_budgets(study, claim.better, claim.worse)
    meant = {fraction: found[fraction] for fraction in claim.budgets or found if fraction in found}
    if len(meant) < (2 if claim.kind == "tendency" else 1) or not _whole(meant):
        return None
    whole = tendency(meant) if claim.kind == "tendency" else difference(meant)
    return whole, {fraction: effect(by_seed) for fraction, by_seed in found.items()}
