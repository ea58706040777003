"""The accuracy study in pictures: from its JSON and that of what its networks cost.

study-relus-{pixel,channel,structure,claims}.svg: mean of seeds, every seed as a small mark, the spread as a bar; with
costs also study-ms-BACKEND-LINK.svg and study-bytes-BACKEND.svg.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from measuring.plots import LINK_NAMES, around, figure, save, ticks_at
from measuring.statistics import Interval
from measuring.study_runs import Cell, Study
from measuring.study_tables import load_study

# Okabe and Ito's colours, which the colour-blind tell apart; the marker says the same again.
_STYLE = {
    "random": ("#7f7f7f", "x"),
    "narrower": ("#000000", "s"),
    "fast": ("#0072b2", "o"),
    "hrn-fast": ("#d55e00", "^"),
    "fast-by-layer": ("#009e73", "D"),
    "deepreduce": ("#cc79a7", "v"),
    "deepreshape": ("#e69f00", "P"),
    "shallow": ("#56b4e9", "*"),
    "random-channel": ("#7f7f7f", "x"),
    "fast-channel": ("#0072b2", "o"),
    "fast-by-layer-channel": ("#009e73", "D"),
    "narrow-fast": ("#56b4e9", "v"),
    "hrn-5x5x3x-fast": ("#e69f00", "P"),
}
GROUPS = {
    "pixel": ("fast", "fast-by-layer", "hrn-fast", "random", "narrower"),
    "channel": ("fast-channel", "fast-by-layer-channel", "random-channel", "narrower"),
    "structure": ("deepreduce", "deepreshape", "shallow", "random", "narrower"),
    "claims": ("fast", "narrow-fast", "hrn-5x5x3x-fast", "hrn-fast"),
}
_CONTROLS = {"random", "narrower"}
_MAIN = {"fast", "hrn-fast"}
_Point = tuple[Cell, float]
_Curves = dict[str, list[_Point]]


def _picture(curves: _Curves, whole: list[_Point], x_label: str, out: Path, stem: str) -> Path:
    """Means with the seeds' range, a line through them, and every seed; networks with all their ReLUs apart."""
    drawn, (axes,) = figure()
    for label, found in curves.items():
        points = sorted(found, key=lambda point: point[1])
        x, accuracies = [place for _, place in points], [[100 * a for a in cell.accuracies] for cell, _ in points]
        means = [
            Interval(100 * cell.mean, min(seeds), max(seeds))
            for (cell, _), seeds in zip(points, accuracies, strict=True)
        ]
        colour, marker = _STYLE.get(label, ("#333333", "."))
        face = "white" if label.endswith("-channel") or label == "narrower" else colour
        style = {"color": colour, "marker": marker, "markerfacecolor": face, "markersize": 8, "linewidth": 1.8}
        axes.errorbar(x, [one.value for one in means], around(means), label=label, **style)
        for place, seeds in zip(x, accuracies, strict=True):
            axes.plot([place] * len(seeds), seeds, linestyle="none", marker=".", markersize=4, color=colour)
    reached = ((place, 100 * cell.mean) for found in curves.values() for cell, place in found)
    _draw_front(axes, pareto_front(reached))
    for (cell, place), marker in zip(whole, "*XPdv", strict=False):
        axes.plot(place, 100 * cell.mean, "k", marker=marker, linestyle="none", label=cell.label.split(",")[0])
    axes.set(xscale="log", xlabel=x_label, ylabel="test accuracy, %")
    axes.margins(y=0.1)
    low, high = axes.get_xlim()
    ticks = [step * 10**power for power in range(-2, 10) for step in (1, 1.5, 2, 3, 5, 7)]
    ticks_at(axes, [tick for tick in ticks if low <= tick <= high], x_label)
    axes.grid(True)
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, ncols=3, loc="outside lower center", columnspacing=1.0)
    drawn.set_size_inches(6, 4 + 0.3 * -(-len(labels) // 3))
    return save(drawn, out, stem)[0]


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, accuracy) those that no other beats: as cheap or cheaper, and more accurate; by cost."""
    front = list[tuple[float, float]]()
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def _draw_front(axes: Any, front: Sequence[tuple[float, float]]) -> None:
    """Steps through it, behind everything."""
    style = {"color": "#888888", "linewidth": 5, "alpha": 0.35, "zorder": 0, "label": "Pareto front"}
    axes.step([x for x, _ in front], [y for _, y in front], where="post", **style)


def draw_relus(study: Study, out: Path) -> Iterator[Path]:
    """Accuracy against ReLUs, a picture a group of curves."""
    whole = [(cell, cell.relus) for cell in list(study.baselines.values())[:1]]
    for group, labels in GROUPS.items():
        if set(labels) & set(study.curves) - (_MAIN if group == "claims" else _CONTROLS):
            shown = [label for label in labels if label in study.curves]
            curves = {label: [(cell, cell.relus) for cell in study.curves[label]] for label in shown}
            yield _picture(curves, whole, "ReLUs", out, f"study-relus-{group}")


def draw_costs(study: Study, costs: dict[str, Any], out: Path) -> Iterator[Path]:
    """Accuracy against online milliseconds, a picture a backend and link, and against online bytes, one a backend."""
    results = [entry for entry in costs["results"] if "error" not in entry]
    pictures: dict[tuple[str, str], dict[str, float]] = {}
    for entry in results:
        backend, link = entry["backend"], entry["link"]
        label = f"online ms, {backend} over {LINK_NAMES.get(link, link)}"
        pictures.setdefault((label, f"study-ms-{backend}-{link}"), {})[entry["run"]] = entry["online_ms"]["median"]
    for entry in results:
        key = (f"online kB, {entry['backend']}, both directions", f"study-bytes-{entry['backend']}")
        pictures.setdefault(key, {})[entry["run"]] = sum(entry["online_bytes"].values()) / 1e3
    labels = dict.fromkeys(label for name in ("pixel", "structure", "channel") for label in GROUPS[name])
    for (label, stem), found in pictures.items():
        curves = {name: _measured(study.curves[name], found) for name in labels if name in study.curves}
        shown = {name: points for name, points in curves.items() if points}
        yield _picture(shown, _measured(study.baselines.values(), found), label, out, stem)


def _measured(cells: Iterable[Cell], found: dict[str, float]) -> list[_Point]:
    return [(cell, found[run]) for cell in cells for run in cell.runs.values() if run in found]


def draw(studies: Sequence[Path], costs: Sequence[Path], out: Path) -> list[Path]:
    """All pictures."""
    study, held = load_study(studies), [json.loads(file.read_text()) for file in costs]
    return [*draw_relus(study, out), *(path for each in held for path in draw_costs(study, each, out))]
