"""Tables of the page, and where each comes from: environment, command, number of raw samples."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from measuring.documents import number, tabulate
from measuring.question import Answer
from measuring.study_analysis import Effect, effect
from measuring.study_runs import Study
from measuring.validation import Point
from report.wording import interval, plain

_LISTS: Final = ("samples", "_samples", "_ms")
_BUSY: Final = 0.5
"""Load a core, before the run, above which the machine was not quiet."""


class Table(NamedTuple):
    """Head and rows of text; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, caption: str, rows: Iterable[Mapping[str, Any]], columns: str) -> Self:
        """See documents.tabulate."""
        return cls(caption, *tabulate(rows, columns))


class Provenance(NamedTuple):
    """Where figures come from: file under benchmarks/results, the command that makes it, environment by name.

    ``samples``: how many raw ones the file holds, in words; ``warning``: what makes the figures less certain.
    """

    file: str
    command: str
    environment: tuple[tuple[str, str], ...]
    samples: str
    warning: str = ""


def answers_table(answers: Sequence[Answer]) -> Table:
    """Every answer of a measured question; notes where there are any."""
    noted = any(answer.note for answer in answers)
    rows = [{**a.model_dump(), "x": " x" * (a.unit == "x"), "text": plain(a), "interval": interval(a)} for a in answers]
    columns = "Answer=name|Value={text}{x}|95 % interval=interval" + "|Note=note" * noted
    return Table.of("All answers, with 95 % intervals", rows, columns)


def study_table(found: Study) -> Table:
    """Every curve and budget of the accuracy study."""
    rows = [
        {
            "label": cell.label,
            "budget": "all" if cell.fraction is None else f"{100 * cell.fraction:.3g} %",
            "relus": cell.relus,
            "accuracy": 100 * cell.mean,
            "interval": _range(effect(cell.by_seed)),
            "seeds": ", ".join(f"{100 * accuracy:.1f}" for accuracy in cell.accuracies),
        }
        for cell in found.cells
    ]
    columns = (
        "Method=label|Budget=budget|ReLUs=relus:,.0f|Accuracy={accuracy:.1f} %|95 % interval=interval|Each seed=seeds"
    )
    caption = "Test accuracy, mean of the seeds; intervals of Student's t over seeds, wide with two of them"
    return Table.of(caption, rows, columns)


def _range(found: Effect) -> str:
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}" if len(found.by_seed) > 1 else "one seed"


def cost_table(points: Sequence[Point]) -> Table:
    """Every prediction beside its measurement."""
    columns = (
        "Network, backend, link={network}, {backend}, {link}|Measured ms=measured_ms:n|Predicted ms=predicted_ms:n|"
    )
    columns += "Error={error:/.01,+.1f} %|Offline error={offline_error:/.01,+.1f} %|Bytes and rounds=counted"
    rows = [
        {**point.model_dump(), **point.errors(), "counted": "exact" if point.exact else "differ"} for point in points
    ]
    return Table.of("Predicted beside measured, networks that the calibration has not seen", rows, columns)


def provenance(file: str, command: str, environment: Mapping[str, Any], samples: Any) -> Provenance:
    """Of one file; ``samples`` is whatever part of it holds raw samples."""
    timed = _timed(samples)
    count = len(samples) if isinstance(samples, Sequence) else 1
    runs = f"{count:,} measured run{'' if count == 1 else 's'}" + (f", {timed:,} timed samples" if timed else "")
    return Provenance(file, command, _environment(environment), runs, _warning(environment))


def _timed(value: Any, key: str = "") -> int:
    """Raw times in it: numbers in lists that are called samples or end in ``_ms``."""
    if isinstance(value, Mapping):
        return sum(_timed(part, str(name)) for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(part, int | float) for part in value):
            return len(value) if key.endswith(_LISTS) or key in ("gloo", "grpc") else 0
        return sum(_timed(part, key) for part in value)
    return 0


def _environment(about: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    machine = (
        str(about.get("cpu") or about.get("machine") or ""),
        f"{about['usable_cores']} of {about['cores']} cores" if "usable_cores" in about else "",
        f"{number(about['memory_bytes'] / 1e9)} GB memory" if "memory_bytes" in about else "",
        str(about.get("system", "")),
    )
    loads = [about[key] for key in ("load_before", "load_after") if key in about]
    rows = {
        "Date": about.get("date", ""),
        "Commit": f"{about.get('git_sha', '')}{', with changes' if about.get('git_dirty') else ''}",
        "Machine": ", ".join(filter(None, machine)),
        "Threads a party": str(about.get("threads", "")),
        "Cores": _pairs(about.get("pinned_cores")),
        "Kernels": _pairs(about.get("kernels")),
        "Versions": _pairs({"python": about.get("python"), **(about.get("packages") or {"torch": about.get("torch")})}),
        "Load before, after": " / ".join(" ".join(f"{load:.2f}" for load in found) for found in loads),
        "Other work, cores": _pairs(_others(about)),
    }
    return tuple((name, str(text)) for name, text in rows.items() if text)


def _pairs(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items() if value is not None)


def _others(about: Mapping[str, Any]) -> Mapping[str, float]:
    """Other processes before and during the run; none in files that are older than this record."""
    return {**(about.get("others_before") or {}), **(about.get("others_during") or {})}


def _warning(about: Mapping[str, Any]) -> str:
    if others := _others(about):
        return f"Beside {', '.join(others)}, which ran on this machine: quote ratios only."
    load, cores = about.get("load_before", (0.0,))[0], about.get("cores", 1)
    if load > _BUSY * cores:
        return f"Load of {load:.1f} on {cores} cores when the run began: other work ran, quote ratios only."
    return ""
