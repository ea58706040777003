"""The table of methods in docs/reference/methods.md: published, reached here, and what differs from the paper.

Methods, sources and differences are what the registry says; published points, with where they were read, and which
curve of which study ran a method are in ``benchmarks/study/methods.json``; what was reached is in that study's JSON. A
method that no committed study ran is "not measured".
"""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from measuring import BENCHMARKS
from measuring.documents import markdown

from pi_system.reduce.registry import METHODS, describe

_COLUMNS = (
    "method=`{name}`|what it reduces=reduces|source|published|reached here=reached|what differs from the paper=differs"
)
_SHOWN = (12_900, 25_000, 50_000, 100_000, 230_000)
"""Of a published curve the points nearest to these counts of ReLUs; all are in the JSON."""


def table(folder: Path = BENCHMARKS) -> str:
    """The table in Markdown, from the files in ``folder``, which is ``benchmarks``."""
    data = json.loads((folder / "study" / "methods.json").read_text())
    study = json.loads((folder / data["study"]).read_text())
    rows = []
    for name in METHODS:
        card = describe(name)
        published = [_published(entry) for entry in data["published"] if entry["method"] == name]
        reached = [_reached(curve, study) for curve in data["curves"] if curve["method"] == name]
        about = {"name": name, "reduces": card.reduces, "source": card.source, "differs": card.differs or "-"}
        found = {"published": "; ".join(published) or "-", "reached": "; ".join(reached) or "not measured"}
        rows.append(about | found)
    return f"{markdown(rows, _COLUMNS)}\n\n{_scale(data, study)}"


def _published(entry: Mapping[str, Any]) -> str:
    doubt = "" if entry["verified"] else " (not verified)"
    if "claim" in entry:
        return str(entry["claim"]) + doubt
    nearest = dict.fromkeys(min(entry["points"], key=lambda p: abs(p[0] - at))[0] for at in _SHOWN)
    shown = ", ".join(
        f"{relus / 1000:.3g}K {accuracy:.4g} %" for relus, accuracy in entry["points"] if relus in nearest
    )
    return f"{entry['data']}, {entry['network']}: {shown}{doubt}"


def _reached(curve: Mapping[str, str], study: Mapping[str, Any]) -> str:
    """Mean test accuracy of the seeds at each budget, from the largest down."""
    found: dict[float, list[tuple[int, float]]] = {}
    for run in study["runs"]:
        if run["label"] == curve["label"] and "error" not in run:
            found.setdefault(run["fraction"], []).append((run["relus"], run["test_accuracy"]))
    means = [(fmean(r for r, _ in runs), fmean(a for _, a in runs)) for _, runs in sorted(found.items(), reverse=True)]
    note = f"{curve['note']}: " if "note" in curve else ""
    return note + ", ".join(f"{relus / 1000:.3g}K {accuracy:.1%}".replace("%", " %") for relus, accuracy in means)


def _scale(data: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    config = study["config"]
    network = config["networks"][0]
    baselines = [run for run in study["runs"] if run["label"] == "baseline" and run["network"] == network]
    whole = fmean(run["test_accuracy"] for run in baselines)
    name = {"cifar100": "CIFAR-100", "cifar10": "CIFAR-10"}.get(config["data"]["name"], config["data"]["name"])
    epochs, more = (config[recipe]["epochs"] for recipe in ("baseline", "reduction"))
    return (
        "Published points: test accuracy at so many ReLUs; `benchmarks/study/methods.json` has all, and where each was "
        f"read.\nReached here: {name}, {network} ({whole:.1%} with all its ReLUs), {epochs} epochs, then {more} for "
        f"the reduction, mean of {len(config['seeds'])} seeds\n(`benchmarks/{data['study']}`): at this scale methods "
        "compare with each other, not with their papers."
    ).replace("%", " %")
