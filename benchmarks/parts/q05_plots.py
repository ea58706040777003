"""Plots of q05, from its report only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullLocator
from parts.question_commands import COLOURS, figure, plain_log, save

from pi_system.measure.question import QuestionReport
from pi_system.measure.statistics import Interval, median_interval

__all__ = ["draw"]

Sample = dict[str, Any]


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Batch, clients and size, a figure each."""
    by_kind = {kind: [s for s in report.samples if s["kind"] == kind] for kind in ("batch", "clients", "size")}
    return [*_batch(by_kind["batch"], out), *_clients(by_kind["clients"], out), *_size(by_kind["size"], out)]


def _batch(samples: Sequence[Sample], out: Path) -> list[Path]:
    drawn, (time, memory) = figure(2)
    _line(time, samples, "batch", lambda s: median_interval([ms / s["batch"] for ms in s["online_ms"]]))
    time.set_ylabel("online ms a picture")
    _memory_lines(memory, samples, "batch")
    for axes in (time, memory):
        _ticks(axes, samples, "batch", "pictures a call")
    return save(drawn, out, "q05-batch")


def _clients(samples: Sequence[Sample], out: Path) -> list[Path]:
    drawn, (rate, time) = figure(2)
    _line(rate, samples, "clients", lambda s: median_interval(s["throughput_per_s"]))
    rate.set_ylabel("inferences a second, online")
    _line(time, samples, "clients", lambda s: median_interval(s["online_ms"]))
    time.set_ylabel("online ms")
    for axes in (rate, time):
        axes.set_ylim(bottom=0)
        _ticks(axes, samples, "clients", "clients at once")
    return save(drawn, out, "q05-clients")


def _size(samples: Sequence[Sample], out: Path) -> list[Path]:
    drawn, (time, memory) = figure(2)
    _line(time, samples, "size", lambda s: median_interval(s["online_ms"]))
    time.set_ylabel("online ms")
    plain_log(time)
    _memory_lines(memory, samples, "size")
    for axes in (time, memory):
        _ticks(axes, samples, "size", "height and width, pixels")
    return save(drawn, out, "q05-size")


def _line(axes: Any, samples: Sequence[Sample], x: str, value: Callable[[Sample], Interval]) -> None:
    for backend in dict.fromkeys(sample["backend"] for sample in samples):
        mine = [sample for sample in samples if sample["backend"] == backend]
        found = [value(sample) for sample in mine]
        error = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
        colour, marker = COLOURS[backend]
        places = [sample[x] for sample in mine]
        values = [one.value for one in found]
        axes.errorbar(places, values, yerr=error, color=colour, marker=marker, capsize=3, label=backend)
    axes.legend(frameon=False)


def _memory_lines(axes: Any, samples: Sequence[Sample], x: str) -> None:
    for backend in dict.fromkeys(sample["backend"] for sample in samples):
        mine = [sample for sample in samples if sample["backend"] == backend]
        colour, marker = COLOURS[backend]
        for party, style in (("server", "-"), ("client", "--")):
            values = [sample["peak_memory_bytes"][party] / 1e6 for sample in mine]
            label = f"{backend}, {party}"
            axes.plot([s[x] for s in mine], values, color=colour, marker=marker, linestyle=style, label=label)
    axes.set_ylabel("peak memory, MB")
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _ticks(axes: Any, samples: Sequence[Sample], x: str, label: str) -> None:
    places = sorted({sample[x] for sample in samples})
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [str(place) for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
