"""What a curve of the study needs for one accuracy: ReLUs by interpolation, seed by seed, and what they cost online.

Between budgets accuracy is taken as linear in the logarithm of ReLUs, and so are milliseconds and bytes; a curve ends
at the network it was reduced from, unless that network computes less than the curve's own (then it is another
architecture). Nothing is extrapolated: a curve that is above the accuracy with its fewest ReLUs needs at most those,
one that is nowhere above it has no row. Costs were measured on one seed's networks, once each: the interval is of the
accuracies alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from measuring.statistics import Interval
from measuring.study_analysis import effect
from measuring.study_runs import Cell, Study

Place = tuple[str, str]
"""Link and backend."""


class _Need(NamedTuple):
    relus: float
    at_most: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What one curve needs.

    Attributes:
        label: the curve.
        relus: of every seed.
        at_most: some seed reaches the accuracy with the fewest ReLUs that were tried.
        ratios: online ms as multiples of the first curve's, a link and backend, with 95 % intervals.
    """

    label: str
    relus: tuple[float, ...]
    at_most: bool
    ratios: Mapping[Place, Interval]


def at_accuracy(study: Study, costs: Mapping[str, Any], target: float, base: str) -> list[Needed]:
    """Every curve that reaches ``target`` (0 to 1) with every seed, ``base`` first. Empty if ``base`` does not."""
    prices = {label: _prices(_points(study, label), costs) for label in study.curves}
    found = {label: needs for label in study.curves if (needs := _needs(study, label, target)) and prices[label]}
    if base not in found:
        return []
    return [
        Needed(
            label=label,
            relus=tuple(need.relus for need in needs.values()),
            at_most=any(need.at_most for need in needs.values()),
            ratios={
                place: _ratio(_costs(prices[label][place], needs), _costs(prices[base][place], found[base]))
                for place in prices[label]
                if place in prices[base]
            },
        )
        for label, needs in sorted(found.items(), key=lambda item: item[0] != base)
    ]


def _points(study: Study, label: str) -> list[Cell]:
    """The curve from few ReLUs to many, the network it was reduced from at its end."""
    cells = list(study.curves[label])
    whole = study.baselines.get(study.source.get(label, ""))
    reduced = whole is not None and max(cell.macs for cell in cells) <= whole.macs
    return sorted([*cells, *([whole] if whole and reduced else [])], key=lambda cell: cell.relus)


def _needs(study: Study, label: str, target: float) -> dict[int, _Need] | None:
    """ReLUs of every seed; None if a seed does not get there or misses a budget."""
    points = _points(study, label)
    found = {}
    for seed in points[0].by_seed:
        curve = [(cell.relus, cell.by_seed[seed]) for cell in points if seed in cell.by_seed]
        need = _needed(curve, target) if len(curve) == len(points) else None
        if need is None:
            return None
        found[seed] = need
    return found


def _needed(curve: Sequence[tuple[float, float]], target: float) -> _Need | None:
    if curve[0][1] >= target:
        return _Need(curve[0][0], True)
    for (few, below), (many, above) in itertools.pairwise(curve):
        if above >= target:
            share = (target - below) / (above - below)
            return _Need(math.exp((1 - share) * math.log(few) + share * math.log(many)), False)
    return None


def _prices(cells: Sequence[Cell], costs: Mapping[str, Any]) -> dict[Place, list[tuple[float, float]]]:
    """(log ReLUs, online ms) of the curve's measured networks, by place."""
    runs = {run: cell.relus for cell in cells for run in cell.runs.values()}
    found: dict[Place, list[tuple[float, float]]] = {}
    for entry in costs["results"]:
        if entry["run"] in runs and "error" not in entry:
            point = (math.log(runs[entry["run"]]), float(entry["online_ms"]["median"]))
            found.setdefault((entry["link"], entry["backend"]), []).append(point)
    return {place: sorted(points) for place, points in found.items()}


def _costs(points: Sequence[tuple[float, float]], needs: Mapping[int, _Need]) -> dict[int, float]:
    relus, ms = zip(*points, strict=True)
    return {seed: float(np.interp(math.log(need.relus), relus, ms)) for seed, need in needs.items()}


def _ratio(ours: Mapping[int, float], base: Mapping[int, float]) -> Interval:
    """Paired within seeds, in logarithms: a ratio's interval is not below 0."""
    found = effect({seed: math.log(ours[seed] / base[seed]) for seed in ours if seed in base})
    return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high))
