"""What an answer takes in all, by backend: README's table and that of docs/how-to/which-backend.md, from JSON.

Times are milliseconds where the run allows to quote them (``Environment.quotable``), else multiples of the online time
of ``gmw`` over the same link.
"""

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from both_phases import KEPT
from measuring import RESULTS
from measuring.documents import number
from measuring.schema import LatencyReport, LatencyResult

from pi_system.backends.registry import BACKENDS, find_backend

UNIT: Final = "gmw"
LINKS: Final = ("loopback", "lan", "wan")
BESIDE: Final = "Perhaps beside other work, or of a tree with changes: times are multiples of the online time of"
TRUSTS: Final = {False: "nobody", True: "a dealer"}


class Cell(NamedTuple):
    """One network under one backend over one link; milliseconds, or multiples of ``UNIT``'s online time there."""

    network: str
    backend: str
    link: str
    online: float
    offline: float
    first: float
    megabytes: float


def source() -> LatencyReport:
    """The run of both phases."""
    return LatencyReport.model_validate_json(KEPT.read_text())


def cells(report: LatencyReport) -> list[Cell]:
    """Of every result; a network of few compared bits is the network."""
    one = {(named(r), r.link): r.online_ms.median for r in report.results if r.backend == UNIT}
    return [
        _cell(found, 1.0 if report.environment.quotable else one[named(found), found.link]) for found in report.results
    ]


def named(found: LatencyResult) -> str:
    """The network without its compared bits."""
    return found.network.partition("/compare=")[0]


def _cell(found: LatencyResult, unit_ms: float) -> Cell:
    online, offline = found.online_ms.median, found.offline_ms
    moved = found.offline_bytes + found.online_bytes.total
    first = offline + online if found.first_ms is None else found.first_ms
    return Cell(
        network=named(found),
        backend=found.backend,
        link=found.link,
        online=online / unit_ms,
        offline=offline / unit_ms,
        first=first / unit_ms,
        megabytes=moved / 1e6,
    )


def links_of(found: Iterable[Cell | LatencyResult]) -> list[str]:
    """Those that were measured."""
    known = {one.link for one in found}
    return [link for link in LINKS if link in known]


class Choice(NamedTuple):
    """A network over a link under one trust: what was measured there, the least online first."""

    network: str
    link: str
    trusts: str
    measured: tuple[Cell, ...]

    @property
    def fastest(self) -> Cell:
        """Online."""
        return self.measured[0]


def choices(found: Sequence[Cell]) -> list[Choice]:
    """Every network, link and trust of ``found``, in the order of the document."""
    made = []
    for network in dict.fromkeys(cell.network for cell in found):
        for link in links_of(found):
            for dealt, trusts in TRUSTS.items():
                fit = [c for c in found if (c.network, c.link, find_backend(c.backend).DEALT) == (network, link, dealt)]
                if fit:
                    made.append(Choice(network, link, trusts, tuple(sorted(fit, key=lambda cell: cell.online))))
    return made


def readme() -> str:
    """README's table: a row a network and backend, the links beside each other."""
    report = source()
    found, rows = cells(report), []
    links = links_of(found)
    for network in dict.fromkeys(cell.network for cell in found):
        for backend in BACKENDS:
            own = {cell.link: cell for cell in found if (cell.network, cell.backend) == (network, backend)}
            if own:
                rows.append(_row(network, backend, [own[link] for link in links if link in own]))
    unit = "ms" if report.environment.quotable else f"x `{UNIT}`"
    kinds = ("online", "offline", "first answer")
    head = ["network", "backend", "trusts", *(f"{kind}, {unit}" for kind in kinds), "MB"]
    return "\n".join([origin(report), "", _line(head), "|---" * len(head) + "|", *rows])


def _row(network: str, backend: str, own: list[Cell]) -> str:
    times = (" / ".join(number(getattr(cell, kind)) for cell in own) for kind in ("online", "offline", "first"))
    megabytes = number(own[0].megabytes)
    return _line([f"`{network}`", f"`{backend}`", TRUSTS[find_backend(backend).DEALT], *times, megabytes])


def _line(parts: Iterable[str]) -> str:
    return f"| {' | '.join(parts)} |"


def origin(report: LatencyReport) -> str:
    """Where the figures are from, and what they are, in Markdown."""
    links = links_of(report.results)
    about, changed = report.environment, " with changes" if report.environment.git_dirty else ""
    firsts = any(found.first_ms is not None for found in report.results)
    first = (
        "from dialling to the result, a new client at a new server" if firsts else "both phases, one after the other"
    )
    machine = (
        f"{about.usable_cores} cores of {about.cpu.strip()}, one a party, {about.date[:10]}, commit {about.git_sha}"
    )
    note = "" if about.quotable else f" {BESIDE} `{UNIT}` over the same link."
    return (
        f"{' / '.join(links)}; medians of {report.repeat}; logits revealed. *First answer*: nothing prepared, {first}. "
        f"*MB*: both phases of one answer, all connections. {machine}{changed}.{note}"
    )


def which() -> str:
    """The decision table: what to take, by network, link and trust, for each of three wishes."""
    report = source()
    unit = "ms" if report.environment.quotable else f"x `{UNIT}` online"
    rows = []
    for choice in choices(cells(report)):
        best = (_best(choice.measured, kind) for kind in ("online", "first", "megabytes"))
        rows.append(_line([f"`{choice.network}`", choice.link, choice.trusts, *best]))
    head = ["network", "link", "trusts", f"least online, {unit}", f"first answer soonest, {unit}", "fewest MB"]
    return "\n".join([origin(report), "", _line(head), "|---" * len(head) + "|", *rows])


def _best(fit: Sequence[Cell], kind: str) -> str:
    """The least of a kind, and how far it is ahead of the next."""
    first, *others = sorted(fit, key=lambda cell: float(getattr(cell, kind)))
    value = float(getattr(first, kind))
    behind = f"; {', '.join(f'`{o.backend}` {number(float(getattr(o, kind)))}' for o in others)}" if others else ""
    return f"`{first.backend}` **{number(value)}**{behind}"


class Pair(NamedTuple):
    """Median online milliseconds of two backends of one run, on one network over one link."""

    file: str
    network: str
    link: str
    first_ms: float
    second_ms: float

    @property
    def ratio(self) -> float:
        """Below 1: the first was ahead."""
        return self.first_ms / self.second_ms


def pairs(first: str, second: str) -> list[Pair]:
    """Every measured pair of two backends, in full runs of the questions and runs of latency.py and both_phases.py."""
    return [
        Pair(path.stem, str(key[0]), str(key[1]), times[first], times[second])
        for path in runs()
        for key, times in online(path.read_text()).items()
        if first in times and second in times
    ]


def runs() -> list[Path]:
    """Full runs of the questions, and runs of latency.py and both_phases.py."""
    folders = (("full", "q*.json"), ("latency", "*.json"), ("table", "*.json"), ("both_phases", "*.json"))
    return [path for folder, names in folders for path in sorted((RESULTS / folder).glob(names))]


KEY: Final = ("link", "kind", "reveal", "batch", "clients")


def online(text: str) -> dict[tuple[Any, ...], dict[str, float]]:
    """Median online milliseconds by backend, of every network (its compared bits apart) and what KEY names."""
    content = json.loads(text)
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for sample in content.get("samples") or content.get("results") or ():
        if "online_ms" in sample and isinstance(sample.get("backend"), str):
            ms = sample["online_ms"]
            key = (str(sample.get("network")).partition("/compare=")[0], *(sample.get(name) for name in KEY))
            median = ms["median"] if isinstance(ms, dict) else statistics.median(ms)
            found.setdefault(key, {})[sample["backend"]] = float(median)
    return found


COMPARED: Final = (
    ("fss", "gmw"),
    ("fss", "gc"),
    ("fss", "table"),
    ("table", "gmw"),
    ("gc", "gmw"),
    ("fss", "crypten"),
    ("gmw", "crypten"),
)


def ahead() -> str:
    """How often the first backend of a pair was ahead of the second, by link, and by how much."""
    rows = [row for first, second in COMPARED for row in _ahead(first, second)]
    head = ["online", "link", "ahead in", "least of its time", "most of its time"]
    return "\n".join([_line(head), "|---" * len(head) + "|", *rows])


def _ahead(first: str, second: str) -> Iterator[str]:
    found = pairs(first, second)
    for link in LINKS:
        if own := sorted((pair for pair in found if pair.link == link), key=lambda pair: pair.ratio):
            won = sum(pair.ratio < 1 for pair in own)
            ends = (f"{number(pair.ratio)} (`{pair.network}`)" for pair in (own[0], own[-1]))
            yield _line([f"`{first}` against `{second}`", link, f"{won} of {len(own)}", *ends])


def capacity() -> str:
    """Disk, memory and traffic of an answer, a row a network and backend; these do not depend on what else ran."""
    report = source()
    head = ["network", "backend", "stored a prepared answer: server, client, MB", "peak memory: server, client, MB"]
    head += ["offline MB", "online MB"]
    rows = [_capacity(found) for found in report.results if found.link == LINKS[0]]
    return "\n".join([_line(head), "|---" * len(head) + "|", *rows])


def _capacity(found: LatencyResult) -> str:
    parts = (found.storage_bytes, found.peak_memory_bytes)
    both = (f"{number(pair.server / 1e6)}, {number(pair.client / 1e6)}" for pair in parts)
    moved = (number(count / 1e6) for count in (found.offline_bytes, found.online_bytes.total))
    return _line([f"`{named(found)}`", f"`{found.backend}`", *both, *moved])
