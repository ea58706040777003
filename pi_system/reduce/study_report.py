"""What a finished study says, from its JSON alone: figures by curve and budget, and verdicts on claims.

A figure's noise is the standard deviation between seeds, pooled over all curves and budgets of the study, because two
seeds a curve say next to nothing about one curve. A difference of two means of n seeds then has the standard error
sd * sqrt(2 / n); twice that is the margin a difference must exceed to count.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pi_system.errors import InputError

__all__ = ["Cell", "Study", "Verdict", "claims_markdown", "compare", "read_study", "results_markdown"]

BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One curve at one budget.

    Attributes:
        label: of the curve; of a network with all its ReLUs, the network's name.
        fraction: budget as a share of the first network's ReLUs; None for a network with all its ReLUs.
        runs: folders in the study, by seed.
        relus: active ReLUs, mean of seeds.
        macs: multiply-accumulates, mean of seeds.
        accuracies: test accuracy of each seed, from 0 to 1.
    """

    label: str
    fraction: float | None
    runs: tuple[str, ...]
    relus: float
    macs: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy of the seeds."""
        return statistics.fmean(self.accuracies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Curves by label, each from its largest budget to its smallest, and networks with all their ReLUs by name.

    ``impossible`` has a line for every budget that a method could not reach. ``noise`` is the pooled standard
    deviation between seeds (see the module's docstring), 0 with one seed.
    """

    curves: Mapping[str, tuple[Cell, ...]]
    baselines: Mapping[str, Cell]
    impossible: tuple[str, ...]
    noise: float

    @property
    def fractions(self) -> tuple[float, ...]:
        """All budgets, largest first."""
        found = {cell.fraction for cells in self.curves.values() for cell in cells}
        return tuple(sorted((f for f in found if f is not None), reverse=True))

    def cell(self, label: str, fraction: float) -> Cell | None:
        """A curve at a budget, None if there is none."""
        return next((cell for cell in self.curves.get(label, ()) if cell.fraction == fraction), None)


def read_study(*files: Path) -> Study:
    """Read studies written by ``run_study``; runs that several of them contain count once.

    Raises:
        InputError: a file is not a study, or has no finished run.
    """
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    for file in files:
        try:
            entries = json.loads(file.read_text())["runs"]
            runs |= {(entry["run"], entry["label"]): entry for entry in entries}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: expected the JSON of a study; {error}") from error
    done = [entry for entry in runs.values() if "error" not in entry]
    if not done:
        raise InputError(f"{', '.join(map(str, files))}: expected a study with a finished run; found none")
    groups: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    for entry in done:
        label = entry["network"] if entry["label"] == BASELINE else entry["label"]
        groups.setdefault((label, entry["fraction"]), []).append(entry)
    cells = [_cell(label, fraction, entries) for (label, fraction), entries in groups.items()]
    curves = {
        label: tuple(sorted((c for c in cells if c.label == label), key=lambda cell: -(cell.fraction or 0)))
        for label in dict.fromkeys(cell.label for cell in cells if cell.fraction is not None)
    }
    return Study(
        curves=curves,
        baselines={cell.label: cell for cell in cells if cell.fraction is None},
        impossible=tuple(f"{e['run']}: {e['error']}" for e in runs.values() if "error" in e),
        noise=_pooled(cell.accuracies for cell in cells),
    )


def _cell(label: str, fraction: float | None, entries: Sequence[Mapping[str, Any]]) -> Cell:
    entries = sorted(entries, key=lambda entry: int(entry["seed"]))
    return Cell(
        label=label,
        fraction=fraction,
        runs=tuple(entry["run"] for entry in entries),
        relus=statistics.fmean(entry["relus"] for entry in entries),
        macs=statistics.fmean(entry["macs"] for entry in entries),
        accuracies=tuple(entry["test_accuracy"] for entry in entries),
    )


def _pooled(groups: Iterable[Sequence[float]]) -> float:
    """Standard deviation within groups, over those of two values or more."""
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    squares = sum((value - statistics.fmean(group)) ** 2 for group in several for value in group)
    return math.sqrt(squares / freedom) if freedom else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Difference of two accuracies, the margin it must exceed, both from 0 to 1, and what follows."""

    difference: float
    margin: float

    @property
    def word(self) -> str:
        """``shown``, ``not shown`` (the opposite is) or ``too small to tell``."""
        if abs(self.difference) <= self.margin:
            return "too small to tell"
        return "shown" if self.difference > 0 else "not shown"

    def __str__(self) -> str:
        """In points."""
        return f"{100 * self.difference:+.1f} points (margin {100 * self.margin:.1f}): {self.word}"


def compare(study: Study, better: Cell, worse: Cell) -> Verdict:
    """Is ``better`` better than ``worse``? With one seed a cell there is no margin, and nothing is shown."""
    seeds = min(len(better.accuracies), len(worse.accuracies))
    margin = 2 * study.noise * math.sqrt(2 / seeds) if seeds > 1 else math.inf
    return Verdict(better.mean - worse.mean, margin)


def results_markdown(study: Study) -> str:
    """A row a curve and budget: ReLUs, accuracy as mean and seeds, margin over the random mask of that granularity."""
    lines = [
        "| curve | budget | ReLUs | MACs, M | accuracy | seeds | over random masks |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in study.baselines.values():
        lines.append(_row(cell, "all", ""))
    for label, cells in study.curves.items():
        for cell in cells:
            random = None if label.startswith("random") else study.cell(_control(study, label), cell.fraction or 0)
            over = "" if random is None else f"{100 * (cell.mean - random.mean):+.1f}"
            lines.append(_row(cell, f"{100 * (cell.fraction or 0):.4g} %", over))
    seeds = min(len(cell.accuracies) for cells in study.curves.values() for cell in cells)
    margin = f", so differences below {200 * study.noise * math.sqrt(2 / seeds):.1f} say nothing" if seeds > 1 else ""
    lines += [
        "",
        "Accuracy on the test pictures in percent, mean of seeds and each of them; standard deviation between seeds, "
        f"pooled over all rows: {100 * study.noise:.2f} points{margin}.",
    ]
    return "\n".join([*lines, *(["", "Not possible:", ""] if study.impossible else []), *_unreached(study)])


def _unreached(study: Study) -> list[str]:
    return [f"- {line.rstrip('.')}." for line in study.impossible]


def _control(study: Study, label: str) -> str:
    return "random-channel" if label.endswith("-channel") and "random-channel" in study.curves else "random"


def _row(cell: Cell, budget: str, over: str) -> str:
    seeds = ", ".join(f"{100 * value:.2f}" for value in cell.accuracies)
    label, millions = cell.label.split(",")[0], cell.macs / 1e6
    return f"| `{label}` | {budget} | {cell.relus:,.0f} | {millions:.1f} | {100 * cell.mean:.1f} | {seeds} | {over} |"


# Claim, the curve that it says is better, the other one, and the budgets it speaks of: the largest, the smallest, all.
_CLAIMS = (
    ("Chosen ReLUs beat random ones (SNL)", "snl", "random", "all"),
    ("Chosen ReLUs beat random ones (SENet)", "senet", "random", "all"),
    (
        "Wider networks are better at high ReLU counts (SNL, ResNet18 against half its width)",
        "snl",
        "narrow-snl",
        "high",
    ),
    ("Wider networks lose that advantage at low ReLU counts (the same, reversed)", "narrow-snl", "snl", "low"),
    (
        "More least critical ReLUs are better at low counts (SNL, HRN-2x5x3x against HRN-5x5x3x)",
        "hrn-snl",
        "hrn-5x5x3x-snl",
        "low",
    ),
    (
        "Fewer least critical ReLUs are better at high counts (the same, reversed)",
        "hrn-5x5x3x-snl",
        "hrn-snl",
        "high",
    ),
    ("HRN with SNL is better than ResNet18 with SNL at equal ReLUs", "hrn-snl", "snl", "all"),
)


def claims_markdown(study: Study) -> str:
    """Every claim with the difference at each budget and a plain verdict on the budgets it speaks of."""
    lines = [
        "A difference counts where it exceeds twice its standard error, from the spread of seeds: otherwise it is too "
        "small to tell. `not shown` means that the opposite was found.",
        "",
    ]
    for claim, better, worse, where in _CLAIMS:
        found = {
            fraction: compare(study, first, second)
            for fraction in study.fractions
            if (first := study.cell(better, fraction)) and (second := study.cell(worse, fraction))
        }
        if not found:
            lines.append(f"- {claim}: not in this study (`{better}`, `{worse}`).")
            continue
        meant = {"high": list(found)[:1], "low": list(found)[-1:], "all": list(found)}[where]
        lines.append(f"- {claim}: **{_overall([found[fraction] for fraction in meant])}**.")
        for fraction, verdict in found.items():
            relus = [study.cell(label, fraction) for label in (better, worse)]
            counts = " against ".join(f"{cell.relus:,.0f}" for cell in relus if cell)
            lines.append(f"  - {100 * fraction:.4g} %: `{better}` - `{worse}` {verdict}; {counts} ReLUs.")
    return "\n".join(lines)


def _overall(verdicts: Sequence[Verdict]) -> str:
    words = [verdict.word for verdict in verdicts]
    if len(set(words)) == 1:
        return words[0]
    return ", ".join(f"{word} at {words.count(word)} of {len(words)} budgets" for word in dict.fromkeys(words))
