"""Every picture of the report and of the documents, drawn from the JSON of benchmarks/results alone."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from measuring import BENCHMARKS
from measuring.plots import COLOURS, LINK_NAMES, figure, line, plain_ticks, save, ticks_at
from measuring.statistics import Interval
from measuring.validation import Validation
from report import decision, study_pictures
from report.sources import Sources

_MARKERS = {"loopback": "o", "lan": "s", "wan": "^"}


def draw(sources: Sources, out: Path) -> dict[str, list[Path]]:
    """Pictures of everything that has a file, by key of its section."""
    found: dict[str, list[Path]] = {"decision": decision.draw(out)}
    for question in sources.questions:
        script = next(BENCHMARKS.glob(f"{question.key}_*.py"), None)
        if question.report is not None and script is not None:
            found[question.key] = import_module(script.stem).QUESTION.draw(question.report, out)
    if latency := sources.files("latency", "results"):
        found["latency"] = draw_latency(latency, out)
    for file in sources.files("cost_model", "points")[-1:]:
        found["cost_model"] = draw_cost_model(file, out)
    if study := sources.files("study", "runs"):
        found["study"] = study_pictures.draw(study, sources.files("study", "results"), out)
    return found


def draw_latency(files: Sequence[Path], out: Path) -> list[Path]:
    """Online latency against ReLU count: medians and quartiles of all results, a panel a link, a line a backend."""
    results = []
    for file in files:
        report = json.loads(file.read_text())
        relus = {entry["network"]: entry["relus"] for entry in report["networks"]}
        results += [{**result, "relus": relus[result["network"]]} for result in report["results"]]
    links = [link for link in LINK_NAMES if any(result["link"] == link for result in results)]
    drawn, panels = figure(columns=len(links), size=(4.2, 4.2), sharex=True, sharey=True)
    for panel, link in zip(panels, links, strict=True):
        for backend in COLOURS:
            mine = [r for r in results if (r["link"], r["backend"]) == (link, backend)]
            mine.sort(key=lambda result: int(result["relus"]))
            timings = [result["online_ms"] for result in mine]
            found = [Interval(ms["median"], ms["q1"], ms["q3"]) for ms in timings]
            if found:
                line(panel, [result["relus"] for result in mine], found, backend)
        ticks_at(panel, sorted({result["relus"] for result in results}), "ReLUs")
        panel.tick_params(axis="x", rotation=40)
        panel.margins(x=0.1)
        panel.set(yscale="log", title=LINK_NAMES[link])
        plain_ticks(panel.yaxis)
        panel.grid(True)
    panels[0].set_ylabel("online milliseconds, median and quartiles")
    panels[0].legend()
    return save(drawn, out, "latency")


def draw_cost_model(result: Path, out: Path) -> list[Path]:
    """Predicted against measured online milliseconds: every point, in front of the errors that are aimed at."""
    points = Validation.read(result).points
    drawn, (axes,) = figure(size=(6, 5))
    measured = [point.measured_ms for point in points]
    ends = [min(measured) / 1.5, max(measured) * 1.5]
    for error, shade in ((0.25, "#dddddd"), (0.1, "#bbbbbb")):
        low, high = [[end * factor for end in ends] for factor in (1 - error, 1 + error)]
        axes.fill_between(ends, low, high, color=shade, linewidth=0, label=f"within {error:.0%}")
    axes.plot(ends, ends, color="black", linewidth=1)
    for point in points:
        colour, marker = COLOURS[point.backend][0], _MARKERS[point.link]
        axes.plot(point.measured_ms, point.predicted_ms, marker, color=colour, markeredgecolor="white", markersize=8)
    for backend in dict.fromkeys(point.backend for point in points):
        axes.plot([], [], "o", color=COLOURS[backend][0], label=backend)
    for link, marker in _MARKERS.items():
        axes.plot([], [], marker, color="white", markeredgecolor="black", label=link)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.grid(True)
    axes.set(xlabel="measured online ms", ylabel="predicted online ms")
    axes.legend(fontsize=11, ncols=2, columnspacing=0.8, handletextpad=0.3)
    return save(drawn, out, "cost-model")
