"""The table of methods in docs/reference/methods.md: published, reached here, and what differs from the paper.

Methods, sources and differences are what the registry says; published points, with where they were read, are in
``benchmarks/study/methods.json``; what was reached is in the reports of the plans ``benchmarks/study/methods*.toml``:
the last of them that has finished runs of a method shows it. A method without a finished run is "not measured".
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from measuring import BENCHMARKS, RESULTS
from measuring.documents import markdown
from measuring.study_plan import Plan, load_plan
from measuring.study_runs import BASELINE

from pi_system.reduce.registry import METHODS, describe

PUBLISHED = BENCHMARKS / "study" / "methods.json"
METHODS_PLAN = BENCHMARKS / "study" / "methods.toml"
REACHED = RESULTS / "methods" / "reached.json"
PLANS = {
    METHODS_PLAN: REACHED,
    BENCHMARKS / "study" / "methods-float32.toml": RESULTS / "methods" / "reached-float32.json",
    BENCHMARKS / "study" / "methods-deepreduce.toml": RESULTS / "methods" / "reached-deepreduce.json",
}
"""By plan its report; a later one supersedes rows of those before."""
_CONTROL = "whole"
_COLUMNS = (
    "method=`{name}`|what it reduces=reduces|source|published|reached here=reached|what differs from the paper=differs"
)
_SHOWN = (12_900, 25_000, 50_000, 100_000, 230_000)
"""Of a published curve the points nearest to these counts of ReLUs; all are in the JSON."""

_SOURCES = (
    "Published points: test accuracy at so many ReLUs; `benchmarks/study/methods.json` has all, and where each was "
    "read.\nReached here, by `benchmarks/study.py` with plans that have all options "
    "(reports: `benchmarks/results/methods/`):\n"
)
_LIMITS = (
    "\nRows compare with each other where epochs, precision and multiply-accumulates agree, not with their papers, and "
    "one seed decides nothing\nbetween neighbours. Multiply-accumulates are given where they differ from the source's."
)


def table(published: Path = PUBLISHED, plans: Mapping[Path, Path] = PLANS) -> str:
    """The table in Markdown."""
    points = json.loads(published.read_text())["published"]
    studies = [(load_plan(plan), json.loads(report.read_text())) for plan, report in plans.items()]
    rows = []
    for name in METHODS:
        card = describe(name)
        about = {"name": name, "reduces": card.reduces, "source": card.source, "differs": card.differs or "-"}
        found = {
            "published": "; ".join(_published(entry) for entry in points if entry["method"] == name) or "-",
            "reached": _last_reached(studies, name) or "not measured",
        }
        rows.append(about | found)
    scales = [_scale(*first, path) for first, path in zip(studies, plans, strict=True)]
    return "\n".join((f"{markdown(rows, _COLUMNS)}\n", _SOURCES, *scales, _LIMITS))


def _published(entry: Mapping[str, Any]) -> str:
    doubt = "" if entry["verified"] else " (not verified)"
    if "claim" in entry:
        return str(entry["claim"]) + doubt
    nearest = dict.fromkeys(min(entry["points"], key=lambda p: abs(p[0] - at))[0] for at in _SHOWN)
    shown = ", ".join(
        f"{relus / 1000:.3g}K {accuracy:.4g} %" for relus, accuracy in entry["points"] if relus in nearest
    )
    return f"{entry['data']}, {entry['network']}: {shown}{doubt}"


def _last_reached(studies: Sequence[tuple[Plan, Mapping[str, Any]]], method: str) -> str:
    for plan, study in reversed(studies):
        if found := "; ".join(_reached(plan, method, study)):
            return found + (f" ({plan.recipe(plan.baseline).precision})" if plan is not studies[0][0] else "")
    return ""


def _reached(plan: Plan, method: str, study: Mapping[str, Any]) -> Iterator[str]:
    """Of each curve of ``method`` its options, and the mean test accuracy of the seeds at each budget."""
    for curve in (curve for curve in plan.curves if curve.method == method):
        found: dict[int, list[Mapping[str, Any]]] = {}
        for run in _finished(study, curve.label):
            found.setdefault(run["budget"], []).append(run)
        macs = {run["macs"] for run in _finished(study, BASELINE)}
        shown = ", ".join(_point(runs, _reduction_epochs(plan), macs) for runs in found.values())
        options = " ".join(f"{name}={value}" for name, value in curve.options.items())
        if shown:
            yield f"`{options}`: {shown}" if options else shown


def _scale(plan: Plan, study: Mapping[str, Any], path: Path) -> str:
    block, baseline = plan.blocks[0], plan.recipe(plan.baseline)
    whole, control = ([run["test_accuracy"] for run in _finished(study, label)] for label in (BASELINE, _CONTROL))
    with_all = f" ({fmean(whole):.1%} with all its ReLUs)" if whole else ""
    without = f" ({fmean(control):.1%} without one)" if control else ""
    tuned = [f"`{curve.label}`" for curve in plan.curves if curve.trials]
    rates = f"; the learning rate of {', '.join(tuned)} by {plan.tuning.trials} trials each" if plan.tuning else ""
    name = {"cifar100": "CIFAR-100", "cifar10": "CIFAR-10"}.get(plan.data["name"], plan.data["name"])
    seeds = "one seed" if len(block.seeds) == 1 else f"mean of {len(block.seeds)} seeds"
    return (
        f"`benchmarks/study/{path.name}`, in {baseline.precision}: {name}, {block.reference}, {baseline.epochs} "
        f"epochs{with_all}, then\n{_reduction_epochs(plan)} for the reduction{without} where no other number is given, "
        f"{seeds}{rates}."
    ).replace("%", " %")


def _finished(study: Mapping[str, Any], label: str) -> list[Mapping[str, Any]]:
    return [run for run in study["runs"] if run["label"] == label and "error" not in run]


def _reduction_epochs(plan: Plan) -> int:
    return plan.recipe(plan.curves[0].recipe).epochs


def _point(runs: Sequence[Mapping[str, Any]], epochs: int, macs: Collection[int]) -> str:
    """The means of some seeds, with epochs after the baseline's, and multiply-accumulates, where they are others."""
    relus, accuracy = (fmean(run[field] for run in runs) for field in ("relus", "test_accuracy"))
    took, work = max(run["epochs"] for run in runs), max(run["macs"] for run in runs)
    shown = f"{relus / 1000:.3g}K {accuracy:.1%}".replace("%", " %")
    apart = [f"{took} epochs"] * (took != epochs) + [f"{work / 1e6:.1f}M multiply-accumulates"] * (work not in macs)
    return f"{shown} ({', '.join(apart)})" if apart else shown
