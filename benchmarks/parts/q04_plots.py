"""Plots of q04, from its report only."""

from pathlib import Path
from typing import Any

from parts.q04_arrivals import percentile
from parts.q04_experiment import latencies_s
from parts.question_commands import COLOURS, figure, plain_log, save

from pi_system.measure.question import QuestionReport
from pi_system.measure.statistics import median_interval

__all__ = ["draw"]

_CONNECTIONS = {
    "peer": ("client - server", "#0072b2", ""),
    "client_dealer": ("client - dealer", "#e69f00", "//"),
    "server_dealer": ("server - dealer", "#56b4e9", ".."),
}


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """What an inference costs offline, and latency against the rate of arrivals."""
    offline = [s for s in report.samples if s["kind"] == "offline" and s["link"] == "loopback"]
    arrivals = [s for s in report.samples if s["kind"] == "arrivals"]
    return [*_draw_cost(offline, out), *(_draw_arrivals(report, arrivals, out) if arrivals else [])]


def _draw_cost(samples: list[dict[str, Any]], out: Path) -> list[Path]:
    drawn, (time, size) = figure(2)
    names = [sample["backend"] for sample in samples]
    for index, sample in enumerate(samples):
        found = median_interval(sample["offline_ms"])
        error = [[found.value - found.low], [found.high - found.value]]
        time.bar(index, found.value, yerr=error, capsize=4, color=COLOURS[sample["backend"]][0])
        time.text(index, found.high, f" {found.value:.0f}", ha="center", va="bottom")
    time.set_ylabel("offline ms an inference")
    bottoms = [0.0] * len(samples)
    for key, (label, colour, hatch) in _CONNECTIONS.items():
        heights = [sample["bytes"][key] / 1e6 for sample in samples]
        size.bar(
            range(len(samples)), heights, bottom=bottoms, label=label, color=colour, hatch=hatch, edgecolor="white"
        )
        bottoms = [below + height for below, height in zip(bottoms, heights, strict=True)]
    size.set_ylabel("offline MB an inference")
    size.legend(frameon=False)
    for axes in (time, size):
        axes.set_xticks(range(len(samples)), names)
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
    return save(drawn, out, "q04-offline")


def _draw_arrivals(report: QuestionReport, samples: list[dict[str, Any]], out: Path) -> list[Path]:
    drawn, (axes,) = figure()
    bound_ms = samples[0]["bound_ms"]
    ceiling = 20 * bound_ms
    for backend in dict.fromkeys(sample["backend"] for sample in samples):
        colour, marker = COLOURS[backend]
        rates: dict[float, list[float]] = {}
        for sample in samples:
            if sample["backend"] == backend:
                rates.setdefault(sample["rate_per_s"], []).extend(latencies_s(sample))
        points = [(rate, min(1000 * percentile(rates[rate]), ceiling)) for rate in sorted(rates)]
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=backend)
        promised = report.answer(f"{backend}/promised_per_s")
        if promised is not None:
            axes.axvline(promised.value, color=colour, linestyle=":", linewidth=1.5)
    axes.axhline(bound_ms, color="black", linewidth=1)
    plain_log(axes)
    axes.set_xlim(left=0)
    axes.set_ylim(bound_ms / 20, 1.2 * ceiling)
    axes.set_xlabel("arrivals a second (dotted: promised by online time)")
    axes.set_ylabel("95th percentile of latency, ms")
    axes.legend(frameon=False)
    return save(drawn, out, "q04-arrivals")
