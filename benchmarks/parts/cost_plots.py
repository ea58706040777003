"""The two kinds of plot of q01, q02, q03 and q06: intervals by category, and lines; a colour and marker a backend."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from parts.question_commands import COLOURS, figure, save

from pi_system.measure.side_by_side import Sample
from pi_system.measure.statistics import Interval, median_interval

__all__ = ["dots", "lines", "link_name"]

_LINKS = {"loopback": "loopback", "lan": "LAN (1 Gbit/s, 0.3 ms)", "wan": "WAN (100 Mbit/s, 40 ms)"}


def link_name(link: str) -> str:
    """A link in words."""
    return _LINKS.get(link, link)


def dots(
    rows: Sequence[str],
    series: Mapping[str, Mapping[str, Interval]],
    xlabel: str,
    out: Path,
    stem: str,
    *,
    mark: float | None = None,
) -> list[Path]:
    """Intervals on a logarithmic axis.

    Args:
        rows: categories from top to bottom.
        series: of each backend, by category. Estimates of zero or less are left out, intervals that reach it are cut.
        xlabel: with the unit.
        out: folder.
        stem: of the file names.
        mark: where a thin line helps to compare, such as 1 for ratios.
    """
    drawn, (axes,) = figure()
    drawn.set_size_inches(6, max(4, 1.2 + 0.55 * len(rows)))
    width = 0.7 / max(1, len(series))
    least = min((i.value for found in series.values() for i in found.values() if i.value > 0), default=1.0)
    for place, (backend, found) in enumerate(series.items()):
        colour, marker = COLOURS[backend]
        shown = [(row, found[name]) for row, name in enumerate(rows) if name in found and found[name].value > 0]
        heights = [row + (place - (len(series) - 1) / 2) * width for row, _ in shown]
        values = [interval.value for _, interval in shown]
        lows = [max(interval.low, interval.value / 10, least / 3) for _, interval in shown]
        error = [
            [max(0.0, i.value - low) for (_, i), low in zip(shown, lows, strict=True)],
            [i.high - i.value for _, i in shown],
        ]
        axes.errorbar(values, heights, xerr=error, fmt=marker, color=colour, label=backend, capsize=3, markersize=6)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel=xlabel)
    _plain_ticks(axes.xaxis)
    if mark is not None:
        axes.axvline(mark, color="black", linewidth=0.8)
    axes.grid(True, axis="x", alpha=0.25)
    _legend(drawn, axes)
    return save(drawn, out, stem)


def lines(
    series: Mapping[str, Sequence[tuple[float, Sample]]],
    xlabel: str,
    ylabel: str,
    out: Path,
    stem: str,
    *,
    scale: str = "log",
    alone: Mapping[str, Sequence[tuple[float, Sample]]] | None = None,
) -> list[Path]:
    """Median online ms with intervals against a number, on a logarithmic axis.

    Args:
        series: of each backend, (x, sample).
        xlabel: with the unit.
        ylabel: with the unit.
        out: folder.
        stem: of the file names.
        scale: of x.
        alone: more points of each backend, hollow and not joined.
    """
    drawn, (axes,) = figure()
    for backend, points in series.items():
        colour, marker = COLOURS[backend]
        style = {"color": colour, "marker": marker, "capsize": 3, "markersize": 6}
        x, medians, error = _points(sorted(points, key=lambda point: point[0]))
        axes.errorbar(x, medians, yerr=error, label=backend, linewidth=1.4, **style)
        if alone and alone.get(backend):
            x, medians, error = _points(alone[backend])
            axes.errorbar(x, medians, yerr=error, linestyle="none", markerfacecolor="white", **style)
    axes.set(xscale=scale, yscale="log", xlabel=xlabel, ylabel=ylabel)
    _plain_ticks(axes.yaxis)
    if scale == "log":
        places = sorted({x for points in series.values() for x, _ in points})
        axes.set_xticks(places, [_short(place) for place in places])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(True, alpha=0.25)
    _legend(drawn, axes)
    return save(drawn, out, stem)


def _points(points: Sequence[tuple[float, Sample]]) -> tuple[list[float], list[float], list[list[float]]]:
    found = [(x, median_interval(sample["online_ms"])) for x, sample in points]
    error = [[max(0.0, i.value - i.low) for _, i in found], [i.high - i.value for _, i in found]]
    return [x for x, _ in found], [i.value for _, i in found], error


def _plain_ticks(axis: Any) -> None:
    """Numbers such as 0.2 and 50 in the place of powers of ten, as many as can be read."""
    low, high = axis.get_view_interval()
    few = high / low > 8
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _short(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def _legend(drawn: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
