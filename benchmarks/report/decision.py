"""The first screen of the page: which backend to take, in a table and three sentences, from the run of both phases."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring.documents import number
from measuring.plots import COLOURS, figure, legend_above, link_name, plain_ticks, save
from measuring.schema import LatencyReport
from report.answers import TRUSTS, UNIT, Cell, Choice, cells, choices, links_of, origin, source

_STEM = "online-and-first-answer"


def decision(report: LatencyReport | None = None) -> dict[str, Any]:
    """What the template shows: ``head``, ``rows`` and what their ``times`` are, ``sentences`` and ``origin``."""
    report = report or source()
    found = cells(report)
    made = choices(found)
    times = "milliseconds" if report.environment.quotable else f"multiples of {UNIT}'s online time over the same link"
    return {
        "head": ("Network", "Link", "Trusts", "Fastest", "Online", "First answer", "MB"),
        "times": f"Online and first answer in {times}; MB of both phases.",
        "rows": [_row(choice) for choice in made],
        "sentences": sentences(made),
        "origin": origin(report).replace("*", "").replace("`", ""),
    }


def _row(choice: Choice) -> tuple[str, ...]:
    best = choice.fastest
    figures = (number(best.online), number(best.first), number(best.megabytes))
    return choice.network, choice.link, choice.trusts, best.backend, *figures


def sentences(made: Sequence[Choice]) -> tuple[str, ...]:
    """Who is ahead, what the first answer takes, and who sends least; nothing of what was not measured."""
    return _ahead(made), _unprepared(made), _traffic(made)


def _ahead(made: Sequence[Choice]) -> str:
    parts = []
    for trusts in TRUSTS.values():
        own = [choice for choice in made if choice.trusts == trusts]
        won = Counter(choice.fastest.backend for choice in own).most_common()
        if own:
            names = ", ".join(f"{backend} in {count} of {len(own)}" for backend, count in won)
            parts.append(f"{'with a dealer' if trusts != 'nobody' else 'without a third party'} {names}")
    return f"Least online time, of the networks and links below: {'; '.join(parts)}."


def _unprepared(made: Sequence[Choice]) -> str:
    ratios = [choice.fastest.first / choice.fastest.online for choice in made]
    later = sum(min(c.measured, key=lambda cell: cell.first) != c.fastest for c in made)
    others = f"in {later} of {len(made)} rows another backend answers first" if later else "it still answers first"
    return (
        f"With nothing prepared, the first answer of the fastest takes {number(min(ratios))} to {number(max(ratios))} "
        f"times its online time, and {others}: prepare ahead."
    )


def _traffic(made: Sequence[Choice]) -> str:
    least = Counter(min(choice.measured, key=lambda cell: cell.megabytes).backend for choice in made).most_common(1)[0]
    sizes = [cell.megabytes for choice in made for cell in choice.measured]
    return (
        f"An answer moves {number(min(sizes))} to {number(max(sizes))} MB in both phases together; "
        f"{least[0]} moves least in {least[1]} of {len(made)} rows."
    )


def draw(out: Path, report: LatencyReport | None = None) -> list[Path]:
    """Both phases of every backend, a panel a link: online, and the first answer with nothing prepared."""
    report = report or source()
    found = cells(report)
    unit = "ms" if report.environment.quotable else f"multiples of {UNIT} online"
    return [
        _draw_network([cell for cell in found if cell.network == network], unit, out, f"{_STEM}{index or ''}")
        for index, network in enumerate(dict.fromkeys(cell.network for cell in found))
    ]


def _draw_network(found: Sequence[Cell], unit: str, out: Path, stem: str) -> Path:
    links = links_of(found)
    names = [name for name in COLOURS if any(cell.backend == name for cell in found)]
    drawn, panels = figure(rows=len(links), size=(6, 1.2 + 0.4 * len(names)), sharex=True)
    for panel, link in zip(panels, links, strict=True):
        for cell in (cell for cell in found if cell.link == link):
            (colour, marker), place = COLOURS[cell.backend], names.index(cell.backend)
            panel.plot([cell.online, cell.first], [place, place], color=colour, linewidth=2.5, alpha=0.45)
            panel.plot(cell.online, place, marker, color=colour, markersize=9)
            panel.plot(cell.first, place, marker, color=colour, markersize=9, markerfacecolor="white")
        panel.set(xscale="log", title=link_name(link))
        panel.set_yticks(range(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        plain_ticks(panel.xaxis)
        panel.grid(True, axis="x")
    for face, label in (("black", "online"), ("white", "first answer, nothing prepared")):
        panels[0].plot([], [], "o", color="black", markerfacecolor=face, markersize=9, label=label)
    panels[-1].set_xlabel(f"{unit}, {found[0].network}")
    legend_above(drawn, panels[0])
    return save(drawn, out, stem)[0]
