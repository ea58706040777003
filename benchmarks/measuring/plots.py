"""The pictures of benchmarks: drawn from JSON only, in the style of plots.mplstyle, kept once, as SVG."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, Final

import matplotlib
from measuring.question import Sample
from measuring.statistics import Interval, median_interval

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

pyplot.style.use(Path(__file__).with_name("plots.mplstyle"))

COLOURS: Final = {
    "fss": ("#0072b2", "o"),
    "gmw": ("#d55e00", "^"),
    "gc": ("#cc79a7", "D"),
    "table": ("#56b4e9", "<"),
    "crypten": ("#555555", "s"),
    "crypten-shipped": ("#999999", "P"),
    "spu:SEMI2K": ("#009e73", "v"),
    "spu:CHEETAH": ("#b8860b", "X"),
}
"""Colour and marker of a system: told apart without colour, too."""
_MARK_LETTERS, _LETTER_INCHES = 7, 0.09  # of a legend: how wide an entry's mark is, and a letter
_LEAST_TICKS: Final = 4
LINK_NAMES: Final = {"loopback": "loopback", "lan": "LAN (1 Gbit/s, 0.3 ms)", "wan": "WAN (100 Mbit/s, 40 ms)"}


def link_name(link: str) -> str:
    """A link in words."""
    return LINK_NAMES.get(link, link)


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6, 4), **options: Any) -> tuple[Any, Any]:
    """A figure and its panels of that size in inches, row by row."""
    whole = (size[0] * columns, size[1] * rows)
    drawn, axes = pyplot.subplots(rows, columns, figsize=whole, squeeze=False, **options)
    return drawn, axes.ravel()


def save(drawn: Any, out: Path, stem: str) -> list[Path]:
    """Write the SVG."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{stem}.svg"
    drawn.savefig(path, metadata={"Date": None})
    pyplot.close(drawn)
    return [path]


def around(found: Sequence[Interval]) -> list[list[float]]:
    """Intervals as error bars take them."""
    return [[max(0.0, one.value - one.low) for one in found], [max(0.0, one.high - one.value) for one in found]]


def line(axes: Any, x: Sequence[float], found: Sequence[Interval], name: str, **style: Any) -> None:
    """Intervals over ``x`` in the colour of a system, joined."""
    colour, marker = COLOURS[name]
    own = {"color": colour, "marker": marker, "label": name}
    axes.errorbar(x, [one.value for one in found], yerr=around(found), **own | style)


def plain_ticks(axis: Any) -> None:
    """Numbers such as 0.2 and 50 in the place of powers of ten, as many as can be read."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(FixedLocator(_round_places(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _round_places(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``, of the coarsest kind that has four there."""
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        powers = range(floor(log10(low)), ceil(log10(high)) + 1)
        places = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(places) >= _LEAST_TICKS:
            return places
    space = (high - low) / (1.5 * _LEAST_TICKS)  # so narrow that nothing bends: even steps
    step = 10.0 ** floor(log10(space))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= space)
    return [step * index for index in range(ceil(low / step), floor(high / step) + 1)]


def ticks_at(axes: Any, places: Sequence[float], label: str, **scale: Any) -> None:
    """A horizontal axis with ticks at these places only."""
    axes.set_xscale(**scale or {"value": "log"})
    axes.set_xticks(places, [short(place) for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def short(number: float) -> str:
    """Such as 16.4k."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def legend_above(drawn: Any, axes: Any) -> None:
    """Outside of the panel, in as few lines as fit the figure's width."""
    handles, labels = axes.get_legend_handles_labels()
    lines = ceil(sum(_MARK_LETTERS + len(label) for label in labels) * _LETTER_INCHES / drawn.get_figwidth())
    drawn.legend(handles, labels, loc="outside upper center", ncols=ceil(len(labels) / max(1, lines)))


def dots(
    series: Mapping[str, Mapping[str, Interval]],
    xlabel: str,
    out: Path,
    stem: str,
    *,
    mark: float | None = None,
) -> list[Path]:
    """Intervals of each backend by category, from top to bottom as they come, on a logarithmic axis; none without any.

    Estimates of zero or less are left out, intervals that reach it cut; ``mark``: where a thin line helps to compare.
    """
    rows = list(dict.fromkeys(row for found in series.values() for row in found))
    if not rows:
        return []
    drawn, (axes,) = figure(size=(6, max(4, 1.2 + 0.55 * len(rows))))
    width = 0.7 / max(1, len(series))
    least = min((i.value for found in series.values() for i in found.values() if i.value > 0), default=1.0)
    for place, (backend, found) in enumerate(series.items()):
        colour, marker = COLOURS[backend]
        shown = [(row, found[name]) for row, name in enumerate(rows) if name in found and found[name].value > 0]
        heights = [row + (place - (len(series) - 1) / 2) * width for row, _ in shown]
        cut = [Interval(i.value, max(i.low, i.value / 10, least / 3), i.high) for _, i in shown]
        values = [interval.value for interval in cut]
        axes.errorbar(values, heights, xerr=around(cut), fmt=marker, color=colour, label=backend)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel=xlabel)
    plain_ticks(axes.xaxis)
    if mark is not None:
        axes.axvline(mark, color="black", linewidth=0.8)
    axes.grid(True, axis="x")
    legend_above(drawn, axes)
    return save(drawn, out, stem)


def lines(
    series: Mapping[str, Sequence[tuple[float, Sample]]], xlabel: str, out: Path, stem: str, *, log: bool = True
) -> list[Path]:
    """Median online ms of each backend's (x, sample) with intervals, on a logarithmic axis; ``log``: x, too."""
    drawn, (axes,) = figure()
    for backend, points in series.items():
        ordered = sorted(points, key=lambda point: point[0])
        line(axes, [x for x, _ in ordered], [median_interval(sample["online_ms"]) for _, sample in ordered], backend)
    axes.set(yscale="log", xlabel=xlabel, ylabel="online ms")
    plain_ticks(axes.yaxis)
    if log:
        ticks_at(axes, sorted({x for points in series.values() for x, _ in points}), xlabel)
    axes.grid(True)
    legend_above(drawn, axes)
    return save(drawn, out, stem)
