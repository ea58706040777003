"""What a study's JSON holds: the runs of every curve at every budget, by seed.

A curve is a method on a network; a cell is a curve at one budget. Seeds are kept by name, because the reductions of a
seed all start from one trained network: curves are compared within a seed.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pi_system.errors import InputError

BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One curve at one budget.

    Attributes:
        label: of the curve; of a network with all its ReLUs, the network's name.
        fraction: budget as a share of the first network's ReLUs; None for a network with all its ReLUs.
        runs: folder in the study, by seed.
        relus: active ReLUs, mean of seeds.
        macs: multiply-accumulates, mean of seeds.
        by_seed: test accuracy, from 0 to 1.
    """

    label: str
    fraction: float | None
    runs: Mapping[int, str]
    relus: float
    macs: float
    by_seed: Mapping[int, float]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Of every seed, in their order."""
        return tuple(self.by_seed.values())

    @property
    def mean(self) -> float:
        """Mean accuracy of the seeds."""
        return statistics.fmean(self.accuracies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Curves by label, each from its largest budget to its smallest, and networks with all their ReLUs by name.

    ``source`` is the network with all ReLUs that a curve starts from, by label, as far as the JSON says;
    ``impossible`` has a line for every budget that a method could not reach; ``measures``: one number a seed, by label.
    """

    curves: Mapping[str, tuple[Cell, ...]]
    baselines: Mapping[str, Cell]
    source: Mapping[str, str]
    impossible: tuple[str, ...]
    measures: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def fractions(self) -> tuple[float, ...]:
        """All budgets, largest first."""
        found = {cell.fraction for cells in self.curves.values() for cell in cells}
        return tuple(sorted((f for f in found if f is not None), reverse=True))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Networks with all their ReLUs, then curve by curve."""
        return (*self.baselines.values(), *(cell for cells in self.curves.values() for cell in cells))

    def cell(self, label: str, fraction: float) -> Cell | None:
        """A curve at a budget, None if there is none."""
        return next((cell for cell in self.curves.get(label, ()) if cell.fraction == fraction), None)


def read_study(*files: Path, names: Mapping[str, str] | None = None) -> Study:
    """Read studies of ``study_report``, or the first one; runs that several of them contain count once.

    Args:
        files: JSON of studies.
        names: what curves are called, where not as in the JSON.

    Raises:
        InputError: a file is not a study, or has no finished run.
    """
    runs: dict[tuple[str, str, float | None], dict[str, Any]] = {}
    measures: dict[str, dict[int, float]] = {}
    for file in files:
        try:
            content = json.loads(file.read_text())
            runs |= {(entry["run"], entry["label"], entry["fraction"]): entry for entry in content["runs"]}
            for label, by_seed in content.get("measures", {}).items():
                measures[label] = {int(seed): float(value) for seed, value in by_seed.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: expected the JSON of a study; {error}") from error
    done = [entry for entry in runs.values() if "error" not in entry]
    if not done:
        raise InputError(f"{', '.join(map(str, files))}: expected a study with a finished run; found none")
    groups: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    for entry in done:
        label = entry["network"] if entry["label"] == BASELINE else (names or {}).get(entry["label"], entry["label"])
        groups.setdefault((label, entry["fraction"]), []).append(entry)
    cells = [_cell(label, fraction, entries) for (label, fraction), entries in groups.items()]
    return Study(
        curves={
            label: tuple(sorted((c for c in cells if c.label == label), key=lambda cell: -(cell.fraction or 0)))
            for label in dict.fromkeys(cell.label for cell in cells if cell.fraction is not None)
        },
        baselines={cell.label: cell for cell in cells if cell.fraction is None},
        source={label: str(entries[0]["source"]) for (label, _), entries in groups.items() if "source" in entries[0]},
        impossible=tuple(f"{e['run']}: {e['error']}" for e in runs.values() if "error" in e),
        measures=measures,
    )


def _cell(label: str, fraction: float | None, entries: Sequence[Mapping[str, Any]]) -> Cell:
    entries = sorted(entries, key=lambda entry: int(entry["seed"]))
    return Cell(
        label=label,
        fraction=fraction,
        runs={int(entry["seed"]): str(entry["run"]) for entry in entries},
        relus=statistics.fmean(entry["relus"] for entry in entries),
        macs=statistics.fmean(entry["macs"] for entry in entries),
        by_seed={int(entry["seed"]): float(entry["test_accuracy"]) for entry in entries},
    )
