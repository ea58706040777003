"""The table of methods in docs/reference/methods.md: published, reached here, and what differs from the paper.

Methods, sources and differences are what the registry says; published points, with where they were read, are in
``benchmarks/study/methods.json``; what was reached is in the report of the plan ``benchmarks/study/methods.toml``. A
method without a finished run is "not measured".
"""

import json
from collections.abc import Iterator, Mapping
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
_COLUMNS = (
    "method=`{name}`|what it reduces=reduces|source|published|reached here=reached|what differs from the paper=differs"
)
_SHOWN = (12_900, 25_000, 50_000, 100_000, 230_000)
"""Of a published curve the points nearest to these counts of ReLUs; all are in the JSON."""


def table(published: Path = PUBLISHED, reached: Path = REACHED) -> str:
    """The table in Markdown."""
    points = json.loads(published.read_text())["published"]
    plan, study = load_plan(METHODS_PLAN), json.loads(reached.read_text())
    rows = []
    for name in METHODS:
        card = describe(name)
        about = {"name": name, "reduces": card.reduces, "source": card.source, "differs": card.differs or "-"}
        found = {
            "published": "; ".join(_published(entry) for entry in points if entry["method"] == name) or "-",
            "reached": "; ".join(_reached(plan, name, study)) or "not measured",
        }
        rows.append(about | found)
    return f"{markdown(rows, _COLUMNS)}\n\n{_scale(plan, study)}"


def _published(entry: Mapping[str, Any]) -> str:
    doubt = "" if entry["verified"] else " (not verified)"
    if "claim" in entry:
        return str(entry["claim"]) + doubt
    nearest = dict.fromkeys(min(entry["points"], key=lambda p: abs(p[0] - at))[0] for at in _SHOWN)
    shown = ", ".join(
        f"{relus / 1000:.3g}K {accuracy:.4g} %" for relus, accuracy in entry["points"] if relus in nearest
    )
    return f"{entry['data']}, {entry['network']}: {shown}{doubt}"


def _reached(plan: Plan, method: str, study: Mapping[str, Any]) -> Iterator[str]:
    """Of each curve of ``method`` its options, and the mean test accuracy of the seeds at each budget."""
    for curve in (curve for curve in plan.curves if curve.method == method):
        found: dict[int, list[tuple[int, float]]] = {}
        for run in study["runs"]:
            if run["label"] == curve.label and "error" not in run:
                found.setdefault(run["budget"], []).append((run["relus"], run["test_accuracy"]))
        means = [(fmean(r for r, _ in runs), fmean(a for _, a in runs)) for runs in found.values()]
        shown = ", ".join(f"{relus / 1000:.3g}K {accuracy:.1%}".replace("%", " %") for relus, accuracy in means)
        options = " ".join(f"{name}={value}" for name, value in curve.options.items())
        if shown:
            yield f"`{options}`: {shown}" if options else shown


def _scale(plan: Plan, study: Mapping[str, Any]) -> str:
    block = plan.blocks[0]
    whole = fmean(run["test_accuracy"] for run in study["runs"] if run["label"] == BASELINE)
    name = {"cifar100": "CIFAR-100", "cifar10": "CIFAR-10"}.get(plan.data["name"], plan.data["name"])
    epochs, more = (plan.recipe(recipe).epochs for recipe in (plan.baseline, plan.curves[0].recipe))
    seeds = "one seed" if len(block.seeds) == 1 else f"mean of {len(block.seeds)} seeds"
    return (
        "Published points: test accuracy at so many ReLUs; `benchmarks/study/methods.json` has all, and where each was "
        f"read.\nReached here: {name}, {block.reference} ({whole:.1%} with all its ReLUs), {epochs} epochs, then "
        f"{more} for the reduction, {seeds}\n(`benchmarks/study.py` with `benchmarks/study/{METHODS_PLAN.name}`, which "
        f"has all options and the tuning; `benchmarks/results/methods/{REACHED.name}`):\nat this scale methods compare "
        "with each other, not with their papers, and one seed decides nothing between neighbours."
    ).replace("%", " %")
