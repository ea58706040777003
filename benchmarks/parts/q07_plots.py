"""Plots of q07, from its report only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parts.question_commands import COLOURS, figure, save

from pi_system.measure.question import QuestionReport
from pi_system.measure.statistics import median_interval

__all__ = ["draw"]

Sample = dict[str, Any]
_LABELS = {"crypten-shipped": "CrypTen", "spu:SEMI2K": "SPU\nSEMI2K", "spu:CHEETAH": "SPU\nCHEETAH"}


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Time and bytes of every system, a figure a network; an open bar on ours is the online part."""
    measured = [sample for sample in report.samples if sample["kind"] == "peer"]
    paths: list[Path] = []
    for index, network in enumerate(dict.fromkeys(sample["network"] for sample in measured)):
        paths += _network([s for s in measured if s["network"] == network], out, f"q07-peers{index or ''}")
    return paths


def _network(samples: Sequence[Sample], out: Path, stem: str) -> list[Path]:
    drawn, (time, size) = figure(2)
    for place, sample in enumerate(samples):
        colour = COLOURS[sample["backend"]][0]
        found = median_interval(sample["total_ms"])
        error = [[found.value - found.low], [found.high - found.value]]
        time.bar(place, found.value, yerr=error, capsize=4, color=colour)
        time.text(place, found.high * 1.05, f"{found.value:.0f}", ha="center", va="bottom")
        bytes_mb = median_interval(sample["total_bytes_samples"]).value / 1e6
        size.bar(place, bytes_mb, color=colour)
        size.text(place, bytes_mb, f"{bytes_mb:.1f}", ha="center", va="bottom")
        if "online_ms" in sample:
            online = median_interval(sample["online_ms"]).value
            time.bar(place, online, color="white", edgecolor=colour, hatch="//", width=0.5)
    labels = [_LABELS.get(sample["backend"], sample["backend"]) for sample in samples]
    for axes in (time, size):
        axes.set_xticks(range(len(samples)), labels)
        axes.margins(y=0.15)
    time.set_yscale("log")
    size.set_ylim(bottom=0)
    time.set_ylabel("ms an inference (hatched: online)")
    size.set_ylabel("MB an inference, both directions")
    return save(drawn, out, stem)
